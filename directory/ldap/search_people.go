package ldap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/text/unicode/norm"

	"sekisho/directory"
)

const (
	// MostFound bounds what one Search answers.
	MostFound = 100
	// Longer than this is nobody's name.
	maxQuery, maxWords = 100, 8
	// searchWithin bounds one Search, in Config.OpTimeouts: without an index for
	// parts of names the server reads through everybody.
	searchWithin = 5
)

// Search finds the people of whom login, name or mail address contain each word
// of the query, in any case and width; an empty one finds everybody. They come
// in the order of their canonical logins, those after the given one, at most
// limit and MostFound of them. next is what to give as after for the rest; ""
// means that there is none.
//
// Not every server sorts (RFC 2891). So the logins alone of all who match are
// read, page by page, as many of them kept as are asked for, and then those
// people are read: what is held in memory does not grow with the directory.
//
// Errors: directory.ErrMalformed for a query that can be part of no name,
// directory.ErrAway, directory.ErrTruncated.
func (d *Directory) Search(ctx context.Context, query, after string, limit int) (people []directory.Person, next string, err error) {
	found, err := d.Look(ctx, directory.Wanted{Words: query}, after, limit)
	return found.People, found.Next, err
}

// Look is Search for more than words. Kind and section narrow what the server
// reads; a schema that keeps one of them nowhere leaves that to the caller.
func (d *Directory) Look(ctx context.Context, w directory.Wanted, after string, limit int) (directory.Found, error) {
	match, err := d.containing(w.Words)
	if err != nil {
		return directory.Found{}, fmt.Errorf("searching people: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, searchWithin*d.OpTimeout)
	defer cancel()
	names := &logins{after: directory.Canonical(after), most: max(1, min(limit, MostFound)) + 1}
	if err := d.collect(ctx, match+d.ofSort(w), names); err != nil {
		return directory.Found{}, fmt.Errorf("searching people: %w", err)
	}
	out := directory.Found{Total: names.total}
	first := names.first
	if len(first) == names.most { // one more than was asked for: there is a rest
		first = first[:len(first)-1]
		out.Next = first[len(first)-1].canonical
	}
	if out.People, err = d.called(ctx, first); err != nil {
		return directory.Found{}, fmt.Errorf("searching people: %w", err)
	}
	return out, nil
}

// ofSort is the filter for people of a section and a kind. Who is of no kind in
// the directory is staff, as when they are read.
func (d *Directory) ofSort(w directory.Wanted) string {
	var match string
	if w.Section != "" && d.schema.Section != "" {
		match += equals(d.schema.Section, w.Section)
	}
	switch {
	case w.Kind == "" || d.schema.Kind == "":
	case w.Kind == directory.KindStaff:
		match += "(|" + equals(d.schema.Kind, string(w.Kind)) + "(!(" + d.schema.Kind + "=*)))"
	default:
		match += equals(d.schema.Kind, string(w.Kind))
	}
	return match
}

// containing is the filter for people who match every word of a query.
func (d *Directory) containing(query string) (string, error) {
	words := strings.Fields(norm.NFKC.String(query))
	if utf8.RuneCountInString(query) > maxQuery || len(words) > maxWords {
		return "", fmt.Errorf("%w: the query is too long", directory.ErrMalformed)
	}
	var b strings.Builder
	for _, w := range words {
		if w = directory.Canonical(w); w == "" {
			continue
		}
		if !directory.Wellformed(w) {
			return "", fmt.Errorf("%w: the query holds what no name does", directory.ErrMalformed)
		}
		b.WriteString("(|")
		for _, attribute := range d.schema.Texts() {
			b.WriteString("(" + attribute + "=*" + goldap.EscapeFilter(w) + "*)")
		}
		b.WriteString(")")
	}
	return b.String(), nil
}

// A login is a name as the directory spells it and as we compare it.
type login struct{ canonical, spelt string }

// logins keeps the first of many, in order.
type logins struct {
	after string
	most  int
	total int // of all, whatever is kept
	first []login
}

func (l *logins) add(spelt string) {
	one := login{directory.Canonical(spelt), spelt}
	if one.canonical <= l.after {
		return
	}
	at, there := slices.BinarySearchFunc(l.first, one, func(a, b login) int {
		return cmp.Or(strings.Compare(a.canonical, b.canonical), strings.Compare(a.spelt, b.spelt))
	})
	if there || at == l.most {
		return
	}
	if len(l.first) == l.most {
		l.first = l.first[:l.most-1]
	}
	l.first = slices.Insert(l.first, at, one)
}

// collect adds the login of everybody who matches.
func (d *Directory) collect(ctx context.Context, match string, into *logins) error {
	err := d.watched(ctx, d.service, opSearch, true, func(_ context.Context, l *link) error {
		into.first, into.total = nil, 0 // an exchange may be tried again
		paging, witness := goldap.NewControlPaging(uint32(d.PageSize)), false
		for {
			result, err := l.Search(&goldap.SearchRequest{
				BaseDN: d.PeopleDN, Scope: goldap.ScopeWholeSubtree,
				Filter: among(&d.schema, d.PeopleDN, match), Attributes: []string{d.schema.Login},
				Controls: append(d.controls(), paging),
			})
			if err != nil {
				return err
			}
			if len(result.Referrals) > 0 {
				return fmt.Errorf("%w: referred to %s", directory.ErrTruncated, result.Referrals[0])
			}
			for _, e := range result.Entries {
				if d.isBase(e) {
					witness = true
				} else if dn, err := goldap.ParseDN(e.DN); err == nil && d.isLent(dn) {
					continue // nobody's
				} else if name := e.GetEqualFoldAttributeValue(d.schema.Login); name != "" {
					into.total++
					into.add(name)
				}
			}
			// go-ldap takes a search that its connection died under for complete.
			// Only the control of the final message proves that there was one.
			last, ok := goldap.FindControl(result.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging)
			switch {
			case !ok:
				return fmt.Errorf("%w: a page had no end", directory.ErrTruncated)
			case len(last.Cookie) > 0:
				paging.SetCookie(last.Cookie)
			case !witness:
				return fmt.Errorf("%w: %s is missing from the answer", directory.ErrTruncated, d.PeopleDN)
			default:
				return nil
			}
		}
	})
	return d.notTheBase(translate(err))
}

// called reads the people of these logins, in their order.
func (d *Directory) called(ctx context.Context, names []login) ([]directory.Person, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var match strings.Builder
	for _, n := range names {
		match.WriteString(equals(d.schema.Login, n.spelt))
	}
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: d.PeopleDN, Scope: goldap.ScopeWholeSubtree,
		Filter: among(&d.schema, d.PeopleDN, "(|"+match.String()+")"), Attributes: d.schema.Attributes(),
	})
	if err != nil {
		return nil, d.notTheBase(err)
	}
	var (
		people  []directory.Person
		witness bool
	)
	for _, e := range result.Entries {
		if d.isBase(e) {
			witness = true
			continue
		}
		if dn, err := goldap.ParseDN(e.DN); err == nil && d.isLent(dn) {
			continue
		}
		p, err := d.read(ctx, e)
		if err != nil {
			return nil, err
		}
		// A server may match more loosely than we compare.
		if slices.ContainsFunc(names, func(n login) bool { return n.spelt == p.Login }) {
			people = append(people, p)
		}
	}
	if !witness {
		return nil, fmt.Errorf("%w: %s is missing from the answer", directory.ErrTruncated, d.PeopleDN)
	}
	slices.SortFunc(people, func(a, b directory.Person) int {
		return cmp.Or(strings.Compare(directory.Canonical(a.Login), directory.Canonical(b.Login)), strings.Compare(a.DN, b.DN))
	})
	return people, nil
}

func (d *Directory) isBase(e *goldap.Entry) bool {
	dn, err := goldap.ParseDN(e.DN)
	return err == nil && d.people.EqualFold(dn)
}

// notTheBase: it is the people base that was not found, which says nothing about
// a person.
func (d *Directory) notTheBase(err error) error {
	if errors.Is(err, directory.ErrNotFound) {
		return fmt.Errorf("%w: %s cannot be read", directory.ErrAway, d.PeopleDN)
	}
	return err
}
