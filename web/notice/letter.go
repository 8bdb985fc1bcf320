package notice

import (
	"embed"
	"fmt"
	"strings"
	"sync"
	"text/template"
	"time"

	queue "sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
)

//go:embed messages/*.txt
var messageFiles embed.FS

// Letters put notices into words.
type Letters struct {
	gate      string
	languages []language
}

// A language has its own words for everything in a letter.
type language struct {
	lang  string
	words func() *template.Template // read when the first letter is written
}

// wordsFor are the words that a template chooses by name: those of the kinds of
// factors, and an unknown one.
var wordsFor = map[string]map[string]string{
	"ja": {"totp": "認証アプリ", "token": "ワンタイムコードの装置", "passkey": "パスキー", "card": "ICカード", "": "本人確認の方法"},
	"en": {"totp": "An authenticator app", "token": "A one-time code token", "passkey": "A passkey", "card": "An IC card", "": "A factor"},
}

// NewLetters reads the words. gate is the address of the gate, for people to
// type. It panics when a template is broken, which the tests of this package
// find first.
func NewLetters(gate string) *Letters {
	l := &Letters{gate: gate}
	for _, lang := range []string{"ja", "en"} {
		l.languages = append(l.languages, language{lang, sync.OnceValue(func() *template.Template { return wordsIn(lang) })})
	}
	return l
}

// wordsIn reads a language's templates.
func wordsIn(lang string) *template.Template {
	words := template.New("").Option("missingkey=error").Funcs(template.FuncMap{
		"factor": func(kind string) string {
			if w, ok := wordsFor[lang][kind]; ok {
				return w
			}
			return wordsFor[lang][""]
		},
		"at": language{lang: lang}.at,
	})
	return template.Must(words.ParseFS(messageFiles, "messages/"+lang+".txt"))
}

// facts are what the templates speak of. An empty line is left out.
type facts struct {
	Name, Gate, Prefecture string
	When, Zone             string
	From, Browser          string
	By, Reason             string
	Detail                 map[string]string
	Privilege, Section     string // what the policy calls those in Detail
	Shared                 string // likewise
	What, Known, Do        string
}

// Write puts one notice into words: the subject in both languages, and the text,
// the Japanese first.
func (l *Letters) Write(n queue.Notice, to directory.Person, p *policy.Policy) (subject, text string, err error) {
	var subjects, texts []string
	for _, g := range l.languages {
		s, t, err := g.write(n, g.facts(n, to, p, l.gate))
		if err != nil {
			return "", "", fmt.Errorf("writing a notice of %s: %w", n.Kind, err)
		}
		subjects, texts = append(subjects, s), append(texts, t)
	}
	return "［関所］" + strings.Join(subjects, " / "), strings.Join(texts, "\n\n--------\n\n") + "\n", nil
}

func (g language) facts(n queue.Notice, to directory.Person, p *policy.Policy, gate string) facts {
	f := facts{
		Name: queue.Line(to.Name), Gate: gate, Prefecture: p.Prefecture.Name.In(g.lang),
		When: g.when(n.At), Zone: string(n.Zone), Detail: n.Detail,
		From: n.Detail["from"], Browser: g.browser(n.Detail["browser"]), By: n.Detail["by"], Reason: n.Detail["reason"],
	}
	f.Privilege = n.Detail["privilege"]
	if v, ok := p.Privilege(f.Privilege); ok && !v.Name.IsEmpty() {
		f.Privilege = v.Name.In(g.lang)
	}
	f.Section = n.Detail["section"]
	if s, ok := p.Section(f.Section); ok && !s.Name.IsEmpty() {
		f.Section = s.Name.In(g.lang)
	}
	f.Shared = n.Detail["shared"]
	if s, ok := p.SharedID(f.Shared); ok && !s.Name.IsEmpty() {
		f.Shared = s.Name.In(g.lang)
	}
	if z, ok := p.Zone(n.Zone); ok && !z.Name.IsEmpty() {
		f.Zone = z.Name.In(g.lang)
	}
	return f
}

func (g language) write(n queue.Notice, f facts) (subject, text string, err error) {
	say := func(name string) (s string) {
		if err != nil {
			return ""
		}
		var b strings.Builder
		err = g.words().ExecuteTemplate(&b, name, f)
		return b.String()
	}
	subject = say(string(n.Kind) + ".subject")
	f.What, f.Known, f.Do = say(string(n.Kind)+".what"), say(g.known(n.Kind)), say(string(n.Kind)+".do")
	return subject, say("letter"), err
}

// known names the words for who knows of it: most have nothing to do, some kinds
// ask for something.
func (g language) known(k queue.Kind) string {
	if own := string(k) + ".known"; g.words().Lookup(own) != nil {
		return own
	}
	return "known"
}

// at shows an instant that a detail holds; what is none is shown as it is.
func (g language) at(detail string) string {
	t, err := time.Parse(time.RFC3339, detail)
	if err != nil {
		return detail
	}
	return g.when(t)
}

// Japan has one time and has had no summer time since 1951. A fixed zone spares
// a machine without zone files from showing something else.
var japan = time.FixedZone("JST", 9*60*60)

// when shows an instant in Japan's time and says so.
func (g language) when(t time.Time) string {
	local := t.In(japan)
	if g.lang == "ja" {
		day := []rune("日月火水木金土")[local.Weekday()]
		return local.Format("2006年1月2日") + "（" + string(day) + "）" + local.Format("15:04:05") + " 日本時間（+09:00）"
	}
	return local.Format("Mon 2 January 2006, 15:04:05 MST (-07:00)")
}

// browser names a browser. One that we do not know could say anything of itself,
// in a letter that carries our name, so it is not quoted.
func (g language) browser(agent string) string {
	name, system := browser(agent)
	ja := g.lang == "ja"
	switch {
	case agent == "":
		return ""
	case name == "" && ja:
		return "不明なブラウザー"
	case name == "":
		return "unknown"
	case system == "":
		return name
	case ja:
		return name + "（" + system + "）"
	}
	return name + " on " + system
}
