package ephemeral

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"sekisho/policy/clock"
)

// Bounds on one entry, in bytes, so that a bound on entries bounds memory.
const (
	MaxKey   = 1 << 10
	MaxValue = 64 << 10
)

// Memory is a Store for one process. It keeps at most a given number of values
// and as many counters.
//
// When room runs out, a value makes way: the one that would have ended first
// anyway. A counter never does (Argo CD, CVE-2024-21652: junk names pushed out
// the counter of the account under attack). A new counter is refused instead.
//
// Keys are of kinds, told by what stands before the first colon: "flow:…",
// "source:…". One kind takes half of the room at most, so that whoever fills
// one by making up names does not close the others.
type Memory struct {
	now clock.Now

	mu       sync.Mutex
	values   room
	counters room
}

// NewMemory makes a Memory of at most max values and max counters.
func NewMemory(now clock.Now, max int) *Memory {
	return &Memory{now: now, values: newRoom(max), counters: newRoom(max)}
}

// Put implements Store.
func (m *Memory) Put(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkValue(key, value, ttl); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	m.values.remove(m.values.byKey[key])
	m.values.makeWay(now, kindOf(key))
	return m.values.add(now, &entry{key: key, end: now.Add(ttl), value: bytes.Clone(value)})
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.values.live(m.now(), key)
	if e == nil {
		return nil, false, nil
	}
	return bytes.Clone(e.value), true, nil
}

// Take implements Store.
func (m *Memory) Take(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.values.live(m.now(), key)
	if e == nil {
		return nil, false, nil
	}
	m.values.remove(e)
	return e.value, true, nil
}

// Count implements Store.
func (m *Memory) Count(_ context.Context, key string, window time.Duration) (int, error) {
	if err := checkEntry(key, window); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if e := m.counters.live(now, key); e != nil {
		e.count++
		return e.count, nil
	}
	if err := m.counters.add(now, &entry{key: key, end: now.Add(window), count: 1}); err != nil {
		return 0, err
	}
	return 1, nil
}

// Peek implements Store.
func (m *Memory) Peek(_ context.Context, key string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.counters.live(m.now(), key); e != nil {
		return e.count, nil
	}
	return 0, nil
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values.remove(m.values.byKey[key])
	m.counters.remove(m.counters.byKey[key])
	return nil
}

// Len is how many values and counters are held, the ended ones that nobody has
// swept yet among them.
func (m *Memory) Len() (values, counters int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.values.byKey), len(m.counters.byKey)
}

func checkValue(key string, value []byte, ttl time.Duration) error {
	if len(value) > MaxValue {
		return fmt.Errorf("a value of %d bytes is larger than %d", len(value), MaxValue)
	}
	return checkEntry(key, ttl)
}

func checkEntry(key string, lasts time.Duration) error {
	switch {
	case key == "" || len(key) > MaxKey:
		return fmt.Errorf("a key must have 1 to %d bytes, not %d", MaxKey, len(key))
	case lasts <= 0:
		return fmt.Errorf("an entry must last longer than %v", lasts)
	}
	return nil
}

func kindOf(key string) string {
	kind, _, found := strings.Cut(key, ":")
	if !found {
		return ""
	}
	return kind
}

// A room holds entries up to a number, each kind in the order of its ends.
type room struct {
	max   int
	byKey map[string]*entry
	kinds map[string]*kind
}

type entry struct {
	key   string
	end   time.Time // the first moment at which it is gone
	value []byte
	count int
	index int // in its kind
}

func newRoom(max int) room {
	return room{max: max, byKey: map[string]*entry{}, kinds: map[string]*kind{}}
}

// live is the entry of key, nil when there is none or its time has passed.
func (r *room) live(now time.Time, key string) *entry {
	e := r.byKey[key]
	if e != nil && !now.Before(e.end) {
		r.remove(e)
		return nil
	}
	return e
}

// add keeps e if there is room once the dead are gone.
func (r *room) add(now time.Time, e *entry) error {
	name := kindOf(e.key)
	if !r.fits(name) {
		r.sweep(now)
		if !r.fits(name) {
			return ErrFull
		}
	}
	k := r.kinds[name]
	if k == nil {
		k = new(kind)
		r.kinds[name] = k
	}
	r.byKey[e.key] = e
	heap.Push(k, e)
	return nil
}

func (r *room) fits(name string) bool {
	if len(r.byKey) >= r.max {
		return false
	}
	k := r.kinds[name]
	return k == nil || k.Len() < r.quota()
}

func (r *room) quota() int { return max(1, r.max/2) }

// sweep removes what has ended, kind by kind: the cost is that of what goes.
func (r *room) sweep(now time.Time) {
	for _, k := range r.kinds {
		for k.Len() > 0 && !now.Before((*k)[0].end) {
			r.remove((*k)[0])
		}
	}
}

// makeWay removes one entry if a new one of the kind would not fit: of its own
// kind when that has its share, else of the largest.
func (r *room) makeWay(now time.Time, name string) {
	if r.fits(name) {
		return
	}
	r.sweep(now)
	if r.fits(name) {
		return
	}
	from := r.kinds[name]
	if from == nil || from.Len() < r.quota() {
		for _, k := range r.kinds {
			if from == nil || k.Len() > from.Len() {
				from = k
			}
		}
	}
	if from != nil {
		r.remove((*from)[0])
	}
}

func (r *room) remove(e *entry) {
	if e == nil {
		return
	}
	name := kindOf(e.key)
	k := r.kinds[name]
	heap.Remove(k, e.index)
	if k.Len() == 0 {
		delete(r.kinds, name)
	}
	delete(r.byKey, e.key)
}

// A kind is a heap of entries, the one that ends first on top.
type kind []*entry

func (k kind) Len() int           { return len(k) }
func (k kind) Less(i, j int) bool { return k[i].end.Before(k[j].end) }
func (k kind) Swap(i, j int) {
	k[i], k[j] = k[j], k[i]
	k[i].index, k[j].index = i, j
}

func (k *kind) Push(x any) {
	e := x.(*entry)
	e.index = len(*k)
	*k = append(*k, e)
}

func (k *kind) Pop() any {
	last := (*k)[len(*k)-1]
	(*k)[len(*k)-1] = nil
	*k = (*k)[:len(*k)-1]
	return last
}
