package control

import (
	"context"

	"sekisho/web/notice"
)

// Send keeps a message that a gateway would mail; dev mails nothing.
func (o *Outbox) Send(_ context.Context, m notice.Message) error {
	o.Put(Message{To: m.To, Subject: m.Subject, Text: m.Text, At: m.At})
	return nil
}
