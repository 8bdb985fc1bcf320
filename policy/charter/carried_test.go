package charter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"sekisho/policy/store"
)

// TestCarriedTextsKeepTheirOrder: what another gateway signed once is good for
// one direction only; an old file that lies about brings nothing back.
func TestCarriedTextsKeepTheirOrder(t *testing.T) {
	w := newWorld(t)
	if _, err := w.c.Install(context.Background(), "system", text(50)); err != nil {
		t.Fatal(err)
	}
	take := func(n int, epoch, version int64, issued time.Time) error {
		from := carried(text(20+n), epoch, version, issued)
		return w.db.WithTx(context.Background(), func(tx *store.Tx) error {
			return w.c.takeIn(context.Background(), tx, "operator", from.Digest, &from)
		})
	}
	day := time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		n       int
		epoch   int64
		version int64
		issued  time.Time
		want    error
	}{
		{"the first", 5, 1, 5, day, nil},
		{"the same again", 5, 1, 5, day, nil},
		{"the same, exported later", 5, 1, 5, day.Add(time.Hour), nil},
		{"the same, exported earlier", 5, 1, 5, day, ErrOlder},
		{"an older version", 4, 1, 4, day.Add(48 * time.Hour), ErrOlder},
		{"another text under a version that was taken", 6, 1, 5, day.Add(2 * time.Hour), ErrTwoTexts},
		{"a newer version", 7, 1, 7, day, nil},
		{"after the sender was restored", 3, 2, 3, day.Add(72 * time.Hour), nil},
		{"from before that", 8, 1, 8, day.Add(72 * time.Hour), ErrOlder},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := take(tt.n, tt.epoch, tt.version, tt.issued); !errors.Is(err, tt.want) {
				t.Errorf("= %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("a text that is not the one signed", func(t *testing.T) {
		_, err := w.c.ProposeCarried(context.Background(), "operator", text(9), Carried{Origin: "there.example", Epoch: 3, Version: 1, Digest: "0"})
		if err == nil {
			t.Error("it was taken")
		}
	})
}

func carried(source []byte, epoch, version int64, issued time.Time) Carried {
	return Carried{Origin: "there.example", Key: "k", Epoch: epoch, Version: version, Issued: issued, Digest: fmt.Sprintf("%x", sha256.Sum256(source))}
}

// TestTakenWhenApproved: a text from another gateway that is only proposed shuts out
// no other; once it is approved, older ones are refused.
func TestTakenWhenApproved(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	if _, err := w.c.Install(ctx, "system", text(50)); err != nil {
		t.Fatal(err)
	}
	day := time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)
	propose := func(n int, version int64) (string, error) {
		p, err := w.c.ProposeCarried(ctx, "operator", text(20+n), carried(text(20+n), 1, version, day))
		return p.ID, err
	}
	if _, err := propose(7, 7); err != nil {
		t.Fatal(err)
	}
	five, err := propose(5, 5)
	if err != nil {
		t.Fatal("an older one, while nobody has approved the newer:", err)
	}
	if _, err := propose(8, 7); !errors.Is(err, ErrTwoTexts) {
		t.Errorf("another text under a version that is proposed: %v", err)
	}
	if _, err := w.c.Approve(ctx, mira, five); err != nil {
		t.Fatal(err)
	}
	if _, err := propose(4, 4); !errors.Is(err, ErrOlder) {
		t.Errorf("an older one than is in force: %v", err)
	}
	seven, err := propose(7, 7)
	if err != nil {
		t.Fatal("the newer one, once more:", err)
	}
	if _, err := w.c.Approve(ctx, mira, seven); err != nil {
		t.Fatal(err)
	}
	if _, err := propose(6, 6); !errors.Is(err, ErrOlder) {
		t.Errorf("one between the two: %v", err)
	}
}
