package signin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/policy/store"
)

// TestAnswerLostAndHandleTaken: security.md section 2, row 16. A browser whose answer
// with a new handle was lost signs in anew, and what hung on its session goes along.
// Who took the handle of before can do no such thing, with factors of their own neither,
// and cannot end the session once its person has used it.
func TestAnswerLostAndHandleTaken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		heard bool
		act   func(*testing.T, *world, string) error // with the handle of before
		over  bool                                   // the session is, then
		moved bool                                   // what hung on it hangs on the person's next
	}{
		{"its person signs in", false, byPassword("tanaka", pw), true, true},
		{"its person signs in, the answer heard", true, byPassword("tanaka", pw), false, false},
		{"its person is not let in", false, byPassword("tanaka", "wrong"), false, false},
		{"somebody else signs in", false, byPassword("suzuki", pw), false, false},
		{"somebody signs out", false, signOut, true, false},
		{"somebody signs out, the answer heard", true, signOut, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.person(t, "tanaka")
			w.person(t, "suzuki")
			var from, to string
			w.Succeeded = func(_ context.Context, _ *store.Tx, was string, n session.Session) error {
				from, to = was, n.ID
				return nil
			}
			old := w.in(t, "tanaka")
			n, err := w.Sessions.Load(ctx, old)
			must(t, err)
			var lost string
			must(t, w.DB.WithTx(ctx, func(tx *store.Tx) (err error) {
				lost, err = w.Sessions.Rotate(ctx, tx, n.ID, n.AuthAt)
				return err
			}))
			must(t, w.Sessions.Poll(ctx))
			if tt.heard {
				w.clock.Advance(2 * time.Second)
				_, err := w.Sessions.Load(ctx, lost)
				must(t, err)
				must(t, w.Sessions.Flush(ctx))
			}
			if err := tt.act(t, w, old); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Sessions.Load(ctx, lost); errors.Is(err, signin.ErrNone) != tt.over {
				t.Errorf("the session by the handle that it has: %v, want it over: %t", err, tt.over)
			}
			if _, err := w.Sessions.Load(ctx, old); !errors.Is(err, signin.ErrNone) {
				t.Errorf("the handle of before opens something: %v", err)
			}
			if moved := from == n.ID && to != ""; moved != tt.moved || from != "" && !moved {
				t.Errorf("what hung on %q was carried from %q to %q", n.ID, from, to)
			}
		})
	}
}

// byPassword signs somebody in, in the browser that holds a cookie.
func byPassword(login, word string) func(*testing.T, *world, string) error {
	return func(_ *testing.T, w *world, cookie string) error {
		_, err := w.Password(ctx, w.origin, cookie, login, text(word))
		if word != pw && errors.Is(err, signin.ErrRefused) {
			err = nil
		}
		return err
	}
}

// signOut signs out whoever a cookie stands for; nobody is no fault.
func signOut(_ *testing.T, w *world, cookie string) error {
	err := w.SignOut(ctx, w.origin, cookie)
	if errors.Is(err, signin.ErrNone) {
		err = nil
	}
	return err
}
