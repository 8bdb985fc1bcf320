package control

import (
	"slices"
	"sync"
	"time"
)

// A Message is a notice as its reader would have got it.
type Message struct {
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	At      time.Time `json:"at"` // UTC, Sekisho's clock
}

// kept bounds the outbox: a dev left running for a month must not grow for ever.
const kept = 10_000

// An Outbox keeps dev's mail in memory instead of sending it. The zero value is
// empty and ready.
type Outbox struct {
	mu       sync.Mutex
	messages []Message
}

// Put keeps a message; the oldest goes when the outbox is full.
func (o *Outbox) Put(m Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m.At = m.At.UTC()
	if len(o.messages) == kept {
		o.messages = slices.Delete(o.messages, 0, 1)
	}
	o.messages = append(o.messages, m)
}

// All is every message, oldest first; never nil, so that it is a JSON list.
// Several senders at once bring them in another order.
func (o *Outbox) All() []Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := append([]Message{}, o.messages...)
	slices.SortStableFunc(all, func(a, b Message) int { return a.At.Compare(b.At) })
	return all
}
