package control_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/control"
	"sekisho/policy/clock"
)

var start = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

// door is a control listener whose advances are kept in *kept.
func door(t *testing.T, kept *time.Duration, keepErr error) (*control.Door, http.Handler) {
	t.Helper()
	d := &control.Door{
		Token: "right", Clock: clock.NewOffset(clock.NewFake(start).Now, 0), Mail: &control.Outbox{},
		Keep: func(by time.Duration) error {
			if keepErr == nil {
				*kept = by
			}
			return keepErr
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
	}
	return d, d.Handler()
}

func ask(h http.Handler, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryRouteNeedsTheToken(t *testing.T) {
	var kept time.Duration
	d, h := door(t, &kept, nil)
	for _, route := range [][2]string{{"POST", "/clock"}, {"GET", "/mail"}, {"GET", "/metrics"}, {"GET", "/nothing"}} {
		for _, token := range []string{"", "right", "Bearer wrong", "Bearer ", "Bearer right ", "bearer right", "Basic cmlnaHQ="} {
			if w := ask(h, route[0], route[1], token, `{"advance_seconds": 60}`); w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s with %q = %d, want 401", route[0], route[1], token, w.Code)
			}
		}
	}
	if d.Clock.By() != 0 || kept != 0 {
		t.Error("the clock moved without the token")
	}
}

func TestADoorWithoutTokenOpensToNobody(t *testing.T) {
	var kept time.Duration
	d, h := door(t, &kept, nil)
	d.Token = ""
	if w := ask(d.Handler(), "GET", "/mail", "Bearer ", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("empty token = %d, want 401", w.Code)
	}
	_ = h
}

func TestClockMovesForwardAlone(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		code       int
		by         time.Duration
	}{
		{"a minute", `{"advance_seconds": 60}`, 200, time.Minute},
		{"not at all", `{"advance_seconds": 0}`, 200, 0},
		{"backwards", `{"advance_seconds": -1}`, 400, 0},
		{"farther than any rule", `{"advance_seconds": 9000000000}`, 400, 0},
		{"overflow", `{"advance_seconds": 9223372036854775807}`, 400, 0},
		{"half", `{"advance_seconds": 0.5}`, 400, 0},
		{"nothing", `{}`, 400, 0},
		{"another key", `{"advance": 60}`, 400, 0},
		{"no JSON", `60`, 400, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var kept time.Duration
			d, h := door(t, &kept, nil)
			w := ask(h, "POST", "/clock", "Bearer right", tt.body)
			if w.Code != tt.code || d.Clock.By() != tt.by || kept != tt.by {
				t.Errorf("code %d, moved %v, kept %v; want %d, %v", w.Code, d.Clock.By(), kept, tt.code, tt.by)
			}
		})
	}
}

func TestAdvancesAddUp(t *testing.T) {
	var kept time.Duration
	d, h := door(t, &kept, nil)
	ask(h, "POST", "/clock", "Bearer right", `{"advance_seconds": 60}`)
	w := ask(h, "POST", "/clock", "Bearer right", `{"advance_seconds": 30}`)
	var said struct {
		AdvanceSeconds int64  `json:"advance_seconds"`
		Now            string `json:"now"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		t.Fatal(err)
	}
	if said.AdvanceSeconds != 90 || said.Now != "2026-04-01T09:01:30Z" || kept != 90*time.Second || d.Clock.By() != kept {
		t.Errorf("said %+v, kept %v, moved %v; want 90 s", said, kept, d.Clock.By())
	}
}

// TestUnkeptAdvanceDoesNotMove: a clock that moved and was then forgotten would
// run backwards at the next start.
func TestUnkeptAdvanceDoesNotMove(t *testing.T) {
	var kept time.Duration
	d, h := door(t, &kept, errors.New("disk full"))
	if w := ask(h, "POST", "/clock", "Bearer right", `{"advance_seconds": 60}`); w.Code != 500 || d.Clock.By() != 0 {
		t.Errorf("code %d, moved %v; want 500 and no move", w.Code, d.Clock.By())
	}
}

func TestMailIsAListOldestFirst(t *testing.T) {
	var kept time.Duration
	d, h := door(t, &kept, nil)
	if got := strings.TrimSpace(ask(h, "GET", "/mail", "Bearer right", "").Body.String()); got != "[]" {
		t.Errorf("no mail = %s, want []", got)
	}
	d.Mail.Put(control.Message{To: "b@pref.example", Subject: "second", At: start.Add(time.Microsecond)})
	d.Mail.Put(control.Message{To: "a@pref.example", Subject: "first", At: start})
	var got []map[string]any
	if err := json.Unmarshal(ask(h, "GET", "/mail", "Bearer right", "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0]["subject"] != "first" || got[0]["at"] != "2026-04-01T09:00:00Z" {
		t.Errorf("mail = %v", got)
	}
	for _, key := range []string{"to", "subject", "text", "at"} {
		if _, ok := got[0][key]; !ok {
			t.Errorf("a message has no %q", key)
		}
	}
}

func TestMetrics(t *testing.T) {
	var kept time.Duration
	_, h := door(t, &kept, nil)
	if got := ask(h, "GET", "/metrics", "Bearer right", "").Body.String(); got != "up 1\n" {
		t.Errorf("metrics = %q", got)
	}
}
