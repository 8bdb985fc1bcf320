package clock_test

import (
	"sync"
	"testing"
	"time"

	"sekisho/policy/clock"
)

var nine = time.Date(2026, 3, 31, 9, 0, 0, 0, time.UTC)

func TestFloor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		play   func(base *clock.Fake, f *clock.Floor)
		want   time.Time
		behind time.Duration
	}{
		{"stands on its base", func(*clock.Fake, *clock.Floor) {}, nine, 0},
		{"goes with its base", func(b *clock.Fake, _ *clock.Floor) { b.Advance(time.Minute) }, nine.Add(time.Minute), 0},
		{"does not go back with it", func(b *clock.Fake, f *clock.Floor) {
			f.Now()
			b.Advance(-time.Hour)
		}, nine, time.Hour},
		{"is raised", func(_ *clock.Fake, f *clock.Floor) { f.Raise(nine.Add(time.Hour)) }, nine.Add(time.Hour), time.Hour},
		{"is not lowered", func(_ *clock.Fake, f *clock.Floor) {
			f.Raise(nine.Add(time.Hour))
			f.Raise(nine.Add(-time.Hour))
		}, nine.Add(time.Hour), time.Hour},
		{"is left when the base catches up", func(b *clock.Fake, f *clock.Floor) {
			f.Raise(nine.Add(time.Hour))
			b.Advance(2 * time.Hour)
		}, nine.Add(2 * time.Hour), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := clock.NewFake(nine)
			f := clock.NewFloor(base.Now)
			tt.play(base, f)
			if got := f.Now(); !got.Equal(tt.want) {
				t.Errorf("Now = %v, want %v", got, tt.want)
			}
			if got := f.Behind(); got != tt.behind {
				t.Errorf("Behind = %v, want %v", got, tt.behind)
			}
		})
	}
}

// TestFloorNeverRunsBackwards: while one sets the base to and fro and another
// raises the floor, nobody who looks twice sees time go back.
func TestFloorNeverRunsBackwards(t *testing.T) {
	base := clock.NewFake(nine)
	f := clock.NewFloor(base.Now)
	var work sync.WaitGroup
	work.Go(func() {
		for i := range 2000 {
			base.Advance(time.Duration(i%7-3) * time.Second)
		}
	})
	work.Go(func() {
		for i := range 2000 {
			f.Raise(nine.Add(time.Duration(i%50) * time.Second))
		}
	})
	for range 4 {
		work.Go(func() {
			last := f.Now()
			for range 2000 {
				now := f.Now()
				if now.Before(last) {
					t.Errorf("%v came after %v", now, last)
					return
				}
				last = now
			}
		})
	}
	work.Wait()
}

func TestOffset(t *testing.T) {
	base := clock.NewFake(nine)
	o := clock.NewOffset(base.Now, time.Hour)
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 100 {
				o.Add(time.Second)
				o.Now()
			}
		})
	}
	work.Wait()
	if want := time.Hour + 400*time.Second; o.By() != want {
		t.Errorf("By = %v, want %v", o.By(), want)
	}
	base.Advance(-time.Minute)
	if want := nine.Add(o.By() - time.Minute); !o.Now().Equal(want) {
		t.Errorf("Now = %v, want %v", o.Now(), want)
	}
}

// TestPlainTimes: what a clock answers can be compared with == to what was
// stored and read back.
func TestPlainTimes(t *testing.T) {
	jst := time.FixedZone("JST", 9*3600)
	for name, now := range map[string]clock.Now{
		"System": clock.System(),
		"Fake":   clock.NewFake(nine.In(jst)).Now,
		"Floor":  clock.NewFloor(clock.System()).Now,
	} {
		got := now()
		if got.Location() != time.UTC || got != got.Round(0) {
			t.Errorf("%s answers %v, want UTC without a monotonic reading", name, got)
		}
	}
	if d := clock.System()().Sub(nine); d == 0 {
		t.Error("System stands still")
	}
}
