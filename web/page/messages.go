package page

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/url"
	"sync"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"

	"sekisho/policy"
)

//go:embed messages/*.json
var messageFiles embed.FS

// The languages there are, the first being the one for readers who name none.
var languages = []string{"ja", "en"}

// A tongue says things in one language.
type tongue struct {
	lang string
	loc  func() *i18n.Localizer
}

// tonguesOf are the languages of a set of catalogues, each read when something is first
// said in it: a gate starts before anybody has come. Each language answers from its own
// alone: a message missing there is a fault to be found, not to be covered with the other
// language. A catalogue that cannot be read is a fault of this program: it panics, and a
// test reads them all.
func tonguesOf(files fs.FS) map[string]*tongue {
	tongues := make(map[string]*tongue, len(languages))
	for _, lang := range languages {
		tongues[lang] = &tongue{lang: lang, loc: sync.OnceValue(func() *i18n.Localizer {
			bundle, err := bundle(files, lang)
			if err != nil {
				panic("page: reading the messages in " + lang + ": " + err.Error())
			}
			return i18n.NewLocalizer(bundle, lang)
		})}
	}
	return tongues
}

// bundle merges a language's own file with those of its rooms,
// messages/ROOM.LANG.json. A key in two files is an error: which of them the
// reader would get is nobody's decision.
func bundle(files fs.FS, lang string) (*i18n.Bundle, error) {
	rooms, err := fs.Glob(files, "messages/*."+lang+".json")
	if err != nil {
		return nil, err
	}
	merged := i18n.NewBundle(language.MustParse(lang))
	merged.RegisterUnmarshalFunc("json", json.Unmarshal)
	from := map[string]string{}
	for _, name := range append([]string{"messages/" + lang + ".json"}, rooms...) {
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		file, err := merged.ParseMessageFileBytes(raw, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, m := range file.Messages {
			if other, twice := from[m.ID]; twice {
				return nil, fmt.Errorf("%s stands in %s and in %s", m.ID, other, name)
			}
			from[m.ID] = name
		}
	}
	return merged, nil
}

// t says the message key; pairs are the names and values it has room for.
func (g *tongue) t(key string, pairs ...any) (string, error) {
	data, err := named(pairs)
	if err != nil {
		return "", fmt.Errorf("message %s: %w", key, err)
	}
	return g.loc().Localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: data})
}

// n says a message that speaks of count things.
func (g *tongue) n(key string, count int) (string, error) {
	return g.loc().Localize(&i18n.LocalizeConfig{MessageID: key, PluralCount: count})
}

// say is t for keys written in this package, which a test has seen to exist in
// both languages. Should one be missing after all, the reader gets the key
// rather than nothing.
func (g *tongue) say(key string, pairs ...any) string {
	s, err := g.t(key, pairs...)
	if err != nil {
		return key
	}
	return s
}

func named(pairs []any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("%d arguments do not make pairs", len(pairs))
	}
	data := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("argument %d is not a name", i)
		}
		data[name] = pairs[i+1]
	}
	return data, nil
}

// funcs are what templates of this language call.
func (g *tongue) funcs() template.FuncMap {
	return template.FuncMap{"t": g.t, "n": g.n, "when": g.when, "articles": g.articles, "segment": url.PathEscape, "pair": pair}
}

// Japan has one time and has had no summer time since 1951. A fixed zone spares
// a machine without zone files from showing something else.
var japan = time.FixedZone("JST", 9*60*60)

// when shows an instant in Japan's time, naming it, with the exact instant for
// machines.
func (g *tongue) when(t time.Time) template.HTML {
	local := t.In(japan)
	shown := local.Format("Mon 2 January 2006, 15:04 MST")
	if g.lang == "ja" {
		day := []rune("日月火水木金土")[local.Weekday()]
		shown = local.Format("2006年1月2日") + "（" + string(day) + "）" + local.Format("15:04") + " 日本時間"
	}
	// Digits and words of our own: there is nothing to escape.
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + shown + `</time>`)
}

// day shows the day of an instant in Japan.
func (g *tongue) day(t time.Time) string {
	if g.lang == "ja" {
		return t.In(japan).Format("2006年1月2日")
	}
	return t.In(japan).Format("2 January 2006")
}

// near shows an instant within a day of now as people say it, and any other in
// full.
func (g *tongue) near(t, now time.Time) template.HTML {
	local, clock := t.In(japan), t.In(japan).Format("15:04")
	day := func(days int) bool {
		return now.In(japan).AddDate(0, 0, days).Format(time.DateOnly) == local.Format(time.DateOnly)
	}
	shown := ""
	switch {
	case day(0):
		shown = g.say("when.today", "Clock", clock)
	case day(1):
		shown = g.say("when.tomorrow", "Clock", clock)
	case day(-1):
		shown = g.say("when.yesterday", "Clock", clock)
	default:
		return g.when(t)
	}
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + shown + `</time>`)
}

// lasting says a length of time, rounded up: whoever waits for as long as they
// were told has waited long enough.
func (g *tongue) lasting(d time.Duration) string {
	key, unit := "duration.hours", time.Hour
	switch {
	case d <= time.Minute:
		key, unit = "duration.seconds", time.Second
	case d <= time.Hour:
		key, unit = "duration.minutes", time.Minute
	}
	s, err := g.n(key, max(1, int((d+unit-1)/unit)))
	if err != nil {
		return d.String()
	}
	return s
}

// articles cites articles as people do, with their headings. One heading that
// several in a row share is said once, after the last.
func (g *tongue) articles(list []policy.Article) []string {
	out := make([]string, 0, len(list))
	for i, a := range list {
		label := a.Label(g.lang)
		title := g.heading(a)
		if i+1 < len(list) && g.heading(list[i+1]) == title {
			title = ""
		}
		switch {
		case title == "":
		case g.lang == "ja":
			label += "（" + title + "）"
		default:
			label += " (" + title + ")"
		}
		out = append(out, label)
	}
	return out
}

// heading is an article's own heading; "" where there is none in this language,
// because one in the other would be half an answer here.
func (g *tongue) heading(a policy.Article) string {
	info, _ := a.Info()
	if g.lang == "ja" {
		return info.Title.JA
	}
	return info.Title.EN
}
