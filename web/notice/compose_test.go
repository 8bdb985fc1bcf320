package notice

import (
	"slices"
	"strings"
	"testing"

	"sekisho/web/notice/smtptest"
)

// TestNothingEndsAHeader: what a name or a detail holds cannot add a header, a
// recipient or a command.
func TestNothingEndsAHeader(t *testing.T) {
	t.Parallel()
	const evil = "x\r\nBcc: mallory@evil.example\r\n\r\nVisit\r\n.\r\nRCPT TO:<mallory@evil.example>"
	p := smtptest.Open(t, nil)
	m := message("tanaka@pref.example")
	m.Subject, m.Text, m.ID = "s"+evil, "t"+evil, "i"+evil
	if err := smtpTo(t, p, nil).Send(ctx, m); err != nil {
		t.Fatal(err)
	}
	got := p.Messages()
	if len(got) != 1 || got[0].To != m.To {
		t.Fatalf("got %+v", got)
	}
	if got[0].Header.Get("Bcc") != "" || !strings.Contains(got[0].Text, "RCPT TO") {
		t.Errorf("headers %v\ntext %q", got[0].Header, got[0].Text)
	}
	for _, to := range []string{evil, "tanaka@pref.example\r\nRCPT TO:<mallory@evil.example>", "a@b, c@d"} {
		m.To = to
		if err := smtpTo(t, p, nil).Send(ctx, m); err == nil {
			t.Errorf("sent to %q", to)
		}
	}
	if n := len(p.Messages()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func FuzzCompose(f *testing.F) {
	f.Add("subject", "text", "id@pref.example")
	f.Add("s\r\nBcc: a@b", "t\r\n.\r\nMAIL", "i>\r\nTo: c@d")
	f.Add(strings.Repeat("長い件名", 60), "", "")
	f.Add("=?utf-8?q?=0D=0ABcc:_a?=", "\x00\xff", "\u2028")
	f.Fuzz(func(t *testing.T, subject, text, id string) {
		letter, err := compose(Message{ID: id, From: "sekisho@pref.example", To: "tanaka@pref.example", Subject: subject, Text: text, At: t0})
		if err != nil {
			return
		}
		var b strings.Builder
		if _, err := letter.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		head, _, ok := strings.Cut(b.String(), "\r\n\r\n")
		if !ok {
			t.Fatalf("no end of headers in %q", b.String())
		}
		names := map[string]bool{}
		for _, line := range strings.Split(head, "\r\n") {
			if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
				continue
			}
			name, _, ok := strings.Cut(line, ":")
			if !ok || names[name] {
				t.Errorf("header line %q", line)
			}
			names[name] = true
		}
		for name := range names {
			if !slices.Contains([]string{"Date", "MIME-Version", "Message-ID", "Subject", "Auto-Submitted", "From", "To", "Content-Type", "Content-Transfer-Encoding"}, name) {
				t.Errorf("a header %q", name)
			}
		}
	})
}
