package main

import (
	"fmt"
	"strings"

	"golang.org/x/text/width"

	"sekisho/cmd/sekisho/folder"
	"sekisho/cmd/sekisho/sample"
)

// welcome says where to go and who can sign in, in both languages whatever the
// terminal's: the two people who try it out together may read different ones.
func (t *terminal) welcome(d folder.Dev, f folder.Folder) {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("")
	p("関所 Sekisho")
	p("")
	p("  %s", d.URL)
	for _, a := range d.Apps {
		p("  %s", a.URL)
	}
	p("")
	p("サインインできる人                        Who can sign in")
	for _, person := range sample.People() {
		posts := make([]string, 0, len(person.Posts))
		for _, post := range person.Posts {
			posts = append(posts, string(post))
		}
		p("  %s %s %s %s / %s", pad(person.Login, 10), pad(person.Name, 14), pad(posts[len(posts)-1], 21), person.For.JA, person.For.EN)
	}
	p("")
	p("パスワードと TOTP の秘密: %s", f.DevJSON())
	p("Passwords and TOTP secrets are in that file. ほかの人に見せないでください。 Keep it to yourself.")
	tanaka := d.People[0]
	p("")
	p("  %s  %s", tanaka.Login, tanaka.Password)
	if tanaka.TOTPSecret != nil {
		p("  oathtool --totp -b %s", *tanaka.TOTPSecret)
	}
	p("")
	p("止めるには Ctrl-C。 Ctrl-C stops it; everything is kept in %s.", string(f))
	p("準備ができました。 Ready: %s", d.URL)
	fmt.Fprint(t.out, b.String())
}

// pad fills with spaces to a number of columns; Japanese letters take two.
func pad(s string, columns int) string {
	used := 0
	for _, r := range s {
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			used += 2
		default:
			used++
		}
	}
	return s + strings.Repeat(" ", max(0, columns-used))
}
