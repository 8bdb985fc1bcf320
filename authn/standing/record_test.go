package standing

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func record(t *testing.T, db *store.DB, id directory.PersonID, k Kind, until time.Time) {
	t.Helper()
	err := db.WithTx(ctx, func(tx *store.Tx) error { return Set(ctx, tx, id, k, t0, until, "reason of "+string(k), "sato") })
	if err != nil {
		t.Fatal(err)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	record(t, db, "tanaka", Suspended, t0.Add(time.Hour))
	record(t, db, "tanaka", Dormant, time.Time{})
	record(t, db, "suzuki", OnLeave, time.Time{})
	dormant := Record{Dormant, t0, time.Time{}, "reason of dormant", "sato"}
	suspended := Record{Suspended, t0, t0.Add(time.Hour), "reason of suspended", "sato"}
	for _, tt := range []struct {
		name string
		id   directory.PersonID
		at   time.Time
		want []Record
	}{
		{"all that is in force", "tanaka", t0, []Record{dormant, suspended}},
		{"until the instant before its end", "tanaka", t0.Add(time.Hour - time.Microsecond), []Record{dormant, suspended}},
		{"not at its end", "tanaka", t0.Add(time.Hour), []Record{dormant}},
		{"nobody else's", "sato", t0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Records(ctx, db, tt.id, tt.at)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Records = %+v, %v, want %+v", got, err, tt.want)
			}
			err = db.WithTx(ctx, func(tx *store.Tx) error {
				got, err = Records(ctx, tx, tt.id, tt.at)
				return err
			})
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("inside a transaction: %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestAmong(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	const many = 2*amongAtMost + 7
	var ids []directory.PersonID
	want := map[directory.PersonID][]Kind{}
	for i := range many {
		id := directory.PersonID(fmt.Sprintf("p%d", i))
		ids = append(ids, id)
		switch i % 5 {
		case 0:
			record(t, db, id, Suspended, time.Time{})
			record(t, db, id, OnLeave, time.Time{})
			want[id] = []Kind{OnLeave, Suspended}
		case 1:
			record(t, db, id, Suspended, t0) // over
		}
	}
	record(t, db, "another", Suspended, time.Time{})
	for _, n := range []int{0, 1, amongAtMost, many} {
		expected := map[directory.PersonID][]Kind{}
		for _, id := range ids[:n] {
			if k, ok := want[id]; ok {
				expected[id] = k
			}
		}
		got, err := Among(ctx, db, ids[:n], t0)
		if err != nil || !reflect.DeepEqual(got, expected) {
			t.Errorf("Among %d people = %d of them, %v, want %d", n, len(got), err, len(expected))
		}
	}
}
