// Package notice tells people by mail what happened to their factors, passwords
// and sign-ins: it takes what authn/notice has queued, puts it into words and
// hands it to a mail server.
//
// It decides nothing: who is told of what is decided where the notice is queued,
// when a copy is due again or given up is the queue's timetable. It keeps no
// state of its own, so several gateways may run one each.
//
// A letter is plain text, Japanese first and English below it. It says what
// happened, when, and what to do if it was somebody else. It holds no secret and
// no link that does anything: the one address in it is that of the gate.
//
// Each address gets a message of its own, so none sees the others. A gateway
// that dies after the mail server took a message and before the queue heard of
// it sends the message again; its Message-ID is the same, by which a reader's
// mail program can tell (RFC 5322 section 3.6.4).
package notice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// A Message is one mail to one address.
type Message struct {
	ID      string // the Message-ID, without its brackets
	From    string // an address alone
	To      string // likewise
	Subject string
	Text    string    // lines end in \n
	At      time.Time // when it was written: when what it tells of happened
}

// A Mailer takes messages for delivery. nil means that somebody else has the
// message now, and will deliver it or send it back to its sender.
//
// ErrRefused and ErrAway tell apart what the sender does next. It must be safe
// to call from several goroutines at once.
type Mailer interface {
	Send(ctx context.Context, m Message) error
}

// A Batcher is a Mailer that sends several messages over one connection. The
// Mailer that it answers is for one goroutine; hangUp ends the connection.
type Batcher interface {
	Batch() (m Mailer, hangUp func())
}

var (
	// ErrRefused: the server will never take this message for this address.
	ErrRefused = errors.New("the mail server refuses the message")
	// ErrAway: the server cannot be reached or takes nothing from us. It says
	// nothing of this message, and the next one would fare no better.
	ErrAway = errors.New("the mail server is away")
)

// messageID names the message of one notice to one address. It is made from
// them alone: a message that is sent twice has one name. Whoever sees it learns
// neither.
func messageID(notice, to, from string) string {
	sum := sha256.Sum256([]byte(notice + "\x00" + strings.ToLower(to)))
	_, domain, _ := strings.Cut(from, "@")
	return hex.EncodeToString(sum[:16]) + "@" + domain
}
