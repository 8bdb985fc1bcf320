package ldap

import (
	"context"
	"errors"
	"fmt"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
)

// Stream calls each for every person below the people base, page by page
// (RFC 2696), without ever holding more than a page. An error of each ends the
// stream and is returned.
//
// A nil result is the only one after which the calls were everybody. A stream
// that ended early (connection, size limit, referral, a last page that never
// said it was the last) is directory.ErrAway or directory.ErrTruncated, however
// many people it brought. Config.OpTimeout bounds each page, not the whole.
//
// Groups come from the server's back links alone: a search per person would
// turn one sweep into a hundred thousand. Only where nothing but a person's own
// answer names their groups (Active Directory) is it asked for each.
func (d *Directory) Stream(ctx context.Context, each func(directory.Person) error) error {
	err := d.watched(ctx, d.service, opStream, false, func(ctx context.Context, l *link) error {
		s := sweep{d: d, link: l, each: each, paging: goldap.NewControlPaging(uint32(d.PageSize))}
		return s.run(ctx)
	})
	var stopped *stoppedByCaller
	if errors.As(err, &stopped) {
		return stopped.err
	}
	if errors.Is(err, directory.ErrTruncated) {
		return fmt.Errorf("streaming people: %w", err)
	}
	if err = translate(err); errors.Is(err, directory.ErrNotFound) {
		err = fmt.Errorf("%w: %s cannot be read", directory.ErrAway, d.PeopleDN)
	}
	if err != nil {
		return fmt.Errorf("streaming people: %w", err)
	}
	return nil
}

// stoppedByCaller keeps the caller's own error from being read as the server's.
type stoppedByCaller struct{ err error }

func (s *stoppedByCaller) Error() string { return s.err.Error() }

type sweep struct {
	d       *Directory
	link    *link
	each    func(directory.Person) error
	paging  *goldap.ControlPaging
	witness bool
}

func (s *sweep) run(ctx context.Context) error {
	for {
		more, err := s.page(ctx)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	if !s.witness {
		return fmt.Errorf("%w: %s is missing from the answer", directory.ErrTruncated, s.d.PeopleDN)
	}
	return nil
}

// page brings one page. The time limit is on the server and the wire, so it
// stands still while the caller works on a person.
func (s *sweep) page(ctx context.Context) (more bool, err error) {
	page, cancel := s.d.limited(ctx)
	defer cancel()
	// The search must also end when the page's time is up, and Next knows no
	// context: the socket goes away under it.
	stop := context.AfterFunc(page, func() { _ = s.link.socket.Close() })
	defer stop()
	answer := s.link.SearchAsync(page, &goldap.SearchRequest{
		BaseDN: s.d.PeopleDN, Scope: goldap.ScopeWholeSubtree,
		Filter:     among(&s.d.schema, s.d.PeopleDN, ""),
		Attributes: s.d.schema.Attributes(),
		Controls:   append(s.d.controls(), s.paging),
	}, s.d.PageSize)
	var (
		entries = make([]*goldap.Entry, 0, s.d.PageSize)
		last    *goldap.ControlPaging
	)
	for answer.Next() {
		if answer.Referral() != "" {
			return false, fmt.Errorf("%w: referred to %s", directory.ErrTruncated, answer.Referral())
		}
		if e := answer.Entry(); e != nil {
			entries = append(entries, e)
		}
		if c, ok := goldap.FindControl(answer.Controls(), goldap.ControlTypePaging).(*goldap.ControlPaging); ok {
			last = c
		}
	}
	if err := answer.Err(); err != nil {
		return false, err
	}
	if page.Err() != nil {
		return false, fmt.Errorf("%w: %w", directory.ErrAway, page.Err())
	}
	// go-ldap reports a search that its connection died under as complete. Only
	// the paging control of the final message proves that there was one.
	if last == nil {
		return false, fmt.Errorf("%w: a page had no end", directory.ErrTruncated)
	}
	stop()
	for _, e := range entries {
		if err := s.person(ctx, e); err != nil {
			return false, err
		}
	}
	s.paging.SetCookie(last.Cookie)
	return len(last.Cookie) > 0, nil
}

func (s *sweep) person(ctx context.Context, e *goldap.Entry) error {
	dn, err := goldap.ParseDN(e.DN)
	if err != nil {
		return fmt.Errorf("%w: an entry's name cannot be read: %w", directory.ErrTruncated, err)
	}
	if s.d.people.EqualFold(dn) {
		s.witness = true
		return nil
	}
	if s.d.isLent(dn) {
		return nil
	}
	// The policy is asked for on the connection in hand: a sweep that needed a
	// second one could wait for itself.
	person, err := s.d.readAlone(ctx, e, func(ctx context.Context, q *goldap.SearchRequest) (*goldap.SearchResult, error) {
		ctx, cancel := s.d.limited(ctx)
		defer cancel()
		stop := context.AfterFunc(ctx, func() { _ = s.link.socket.Close() })
		defer stop()
		q.Controls = append(q.Controls, s.d.controls()...)
		result, err := s.link.Search(q)
		return result, translate(err)
	})
	if err != nil {
		return &stoppedByCaller{err}
	}
	if err := s.each(person); err != nil {
		return &stoppedByCaller{err}
	}
	return nil
}
