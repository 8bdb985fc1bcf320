package api

import (
	"context"
	"testing"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/store/storetest"
)

func TestAnswers(t *testing.T) {
	ctx := context.Background()
	fake := clock.NewFake(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
	db := storetest.Open(t)
	a := Answers{db, fake.Now}
	want := func(place, answer string) {
		t.Helper()
		got, ok, err := Answers{db, fake.Now}.Get(ctx, place)
		if err != nil || ok != (answer != "") || string(got) != answer {
			t.Errorf("Get(%q) = %q, %t, %v; want %q", place, got, ok, err, answer)
		}
	}
	put := func(place, answer string) {
		t.Helper()
		if err := a.Put(ctx, place, []byte(answer), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	want("a", "")
	put("a", "first")
	put("a", "second")
	want("a", "first")
	want("b", "")
	fake.Advance(time.Hour)
	want("a", "")
	put("b", "other")
	var rows int
	if err := db.QueryRow(ctx, `SELECT COUNT(*) FROM kept_answer`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v: what has ended was not removed", rows, err)
	}
	put("a", "anew")
	want("a", "anew")
}
