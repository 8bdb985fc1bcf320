package page

import (
	"slices"
	"strings"
	"time"

	"sekisho/web"
	"sekisho/web/desk"
)

// mostID and mostName are how long a login or an id, and a name, may be.
const (
	mostID   = 128
	mostName = 200
)

// readWish reads a form. What can be seen to be wrong here is said at once, all
// of it; the rules are the book's.
func (h *house) readWish(r *web.Request, f desk.PermitForm) (desk.PermitWish, []Fault) {
	g, in := h.tongue(r), formReader{h: h, r: r}
	wish := desk.PermitWish{Kind: f.ID, Renews: in.get("renew"), Reason: in.line("reason", mostReason, true), Stated: map[string][]string{}, Key: keyOf(r, "")}
	if f.Others {
		wish.Person = in.line("person", mostID, false)
	}
	for _, one := range f.Fields {
		name, must := statedName(one.ID), one.Must && !one.OfContractor
		if one.OfContractor && !f.Others {
			continue
		}
		var said []string
		switch one.Type {
		case desk.FieldDate:
			in.day(name, must)
			said = []string{narrowed(in.get(name))}
		case desk.FieldApplications, desk.FieldDays:
			if said = r.PostForm[name]; len(said) == 0 && must {
				in.wrong(name, g.say("pask.choose_one"))
			}
		case desk.FieldHours, desk.FieldNetworks:
			said = listed(in.line(name, mostReason, must))
		case desk.FieldChoice, desk.FieldZone, desk.FieldApplication, desk.FieldTerminal:
			said = []string{in.line(name, mostID, must)}
		default:
			said = []string{in.line(name, mostReason, must)}
		}
		if said = slices.DeleteFunc(slices.Clone(said), func(s string) bool { return s == "" }); len(said) > 0 {
			wish.Stated[one.ID] = said
		}
	}
	wish.From, wish.Until = in.day("from", true), in.day("until", true)
	if !wish.Until.IsZero() {
		wish.Until = wish.Until.AddDate(0, 0, 1) // the day that is named is the last one
		if wish.Until.Before(wish.From.AddDate(0, 0, 1)) {
			in.wrong("until", g.say("pask.until_early"))
		}
	}
	return wish, in.faults
}

// listed takes apart what was typed as a list, and writes digits and marks as
// programs do.
func listed(text string) []string {
	text = strings.NewReplacer("：", ":", "〜", "-", "～", "-", "－", "-", "−", "-", "／", "/", "．", ".").Replace(narrowed(text))
	return strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" ,、，　\n\r\t", c) })
}

// A formReader reads a form and gathers what is wrong with it.
type formReader struct {
	h      *house
	r      *web.Request
	faults []Fault
}

func (in *formReader) get(name string) string { return strings.TrimSpace(in.r.PostForm.Get(name)) }

func (in *formReader) wrong(name, says string) { in.faults = append(in.faults, Fault{name, says}) }

func (in *formReader) line(name string, most int, must bool) string {
	text := in.get(name)
	in.faults = append(in.faults, in.h.text(in.r, name, text, most, must)...)
	return text
}

func (in *formReader) day(name string, must bool) time.Time {
	text := narrowed(in.get(name))
	if text == "" {
		if must {
			in.faults = append(in.faults, in.h.text(in.r, name, text, mostID, true)...)
		}
		return time.Time{}
	}
	t, err := time.ParseInLocation(time.DateOnly, text, japan)
	if err != nil {
		in.wrong(name, in.h.tongue(in.r).say("pask.day_wrong"))
		return time.Time{}
	}
	return t
}

// statedName is the input of a field that a kind asks for.
func statedName(id string) string { return "stated-" + id }

func dayOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(japan).Format(time.DateOnly)
}

// lastDayOf is the last day before an end.
func lastDayOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return dayOf(t.Add(-time.Second))
}
