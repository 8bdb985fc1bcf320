package embedded

import (
	"strconv"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"sekisho/directory/schema"
)

// Dynamic entries, RFC 2589: they end by themselves when nobody says that they
// are to live on. Time passes by the server's own clock; an entry whose time is
// over is gone for whoever asks next.
const (
	dynamicObject = "dynamicObject"
	defaultTTL    = 24 * time.Hour
	mostTTL       = 366 * 24 * time.Hour
)

// lives gives a dynamic entry its length of life, from now on.
func (s *Server) lives(e *entry, ttl time.Duration) {
	e.set("entryTtl", strconv.FormatInt(int64(ttl/time.Second), 10))
	e.set("entryExpireTimestamp", schema.FormatTime(s.now().Add(ttl)))
}

// over reports whether a dynamic entry has lived. An end that does not parse has
// come.
func (s *Server) over(e *entry) bool {
	at, err := schema.ParseTime(e.one("entryexpiretimestamp"))
	return err != nil || !s.now().Before(at)
}

// expire takes away the entries whose time is over. Groups forget them.
func (s *Server) expire() error {
	due := func() bool {
		s.tree.mu.RLock()
		defer s.tree.mu.RUnlock()
		for key := range s.tree.dynamic {
			if s.over(s.tree.entries[key]) {
				return true
			}
		}
		return false
	}
	if !due() {
		return nil
	}
	return s.tree.write(true, func(p *plan) error {
		for key := range s.tree.dynamic {
			if s.over(s.tree.entries[key]) && s.tree.children[key] == 0 {
				s.refer(p, key, "")
				p.remove(key)
			}
		}
		return nil
	})
}

// refresh is RFC 2589 section 4.
func (t *talk) refresh(a *answer, value string) error {
	if !t.admin {
		return refuse(insufficientAccess, "not yours to keep alive")
	}
	p, ok := decodeInner(value)
	if !ok || len(p.Children) != 2 || p.Children[0].ClassType != ber.ClassContext || p.Children[1].ClassType != ber.ClassContext ||
		p.Children[0].Tag != 0 || p.Children[1].Tag != 1 {
		return refuse(protocolError, "malformed refresh")
	}
	n, err := parseName(content(p.Children[0]))
	if err != nil {
		return refuse(invalidDN, "no DN")
	}
	seconds, err := ber.ParseInt64(p.Children[1].Data.Bytes())
	ttl := time.Duration(seconds) * time.Second
	if err != nil || seconds <= 0 || ttl > mostTTL {
		return refuse(sizeLimitExceeded, "no such length of life")
	}
	err = t.server.tree.write(true, func(p *plan) error {
		e := p.get(n.key)
		switch {
		case e == nil:
			return refuse(noSuchObject, "no such entry")
		case !e.isA(dynamicObject):
			return refuse(classViolation, "it does not end by itself")
		}
		c := e.clone()
		t.server.lives(c, ttl)
		p.set(c)
		return nil
	})
	if err != nil {
		return err
	}
	response := ber.NewSequence("")
	response.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, seconds, ""))
	a.children = append(a.children, ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, string(response.Bytes()), ""))
	return nil
}
