package page

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sekisho/policy"
)

// catalogue reads a language's files as they are written: each key with all its
// forms.
func catalogue(t *testing.T, lang string) map[string]string {
	t.Helper()
	names, err := filepath.Glob("messages/*" + lang + ".json")
	if err != nil || len(names) == 0 {
		t.Fatalf("messages in %s: %v", lang, err)
	}
	out := map[string]string{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file map[string]any
		if err := json.Unmarshal(raw, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for key, value := range file {
			switch v := value.(type) {
			case string:
				out[key] = v
			case map[string]any:
				for _, form := range v {
					out[key] += form.(string) + "\n"
				}
			}
		}
	}
	return out
}

// TestMessagesMerge: rooms add to a language, and none takes a key from another.
func TestMessagesMerge(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	files := fstest.MapFS{
		"messages/ja.json":       file(`{"a.title": "甲"}`),
		"messages/en.json":       file(`{"a.title": "A"}`),
		"messages/other.ja.json": file(`{"b.title": "乙"}`),
		"messages/other.en.json": file(`{"b.title": "B"}`),
	}
	tongues := tonguesOf(files)
	if got := tongues["ja"].say("a.title") + tongues["ja"].say("b.title") + tongues["en"].say("b.title"); got != "甲乙B" {
		t.Errorf("merged messages say %q", got)
	}
	files["messages/third.en.json"] = file(`{"b.title": "C"}`)
	if _, err := bundle(files, "en"); err == nil || !strings.Contains(err.Error(), "b.title stands in messages/other.en.json and in messages/third.en.json") {
		t.Errorf("a key in two files: %v", err)
	}
	delete(files, "messages/third.en.json")
	delete(files, "messages/en.json")
	if _, err := bundle(files, "en"); err == nil {
		t.Error("a language without a file of its own is loaded")
	}
}

// used are the keys that templates and Go files name.
func used(t *testing.T) map[string][]string {
	t.Helper()
	keys := map[string][]string{}
	find := func(pattern string, call *regexp.Regexp) {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range call.FindAllStringSubmatch(string(raw), -1) {
				keys[m[1]] = append(keys[m[1]], file)
			}
		}
	}
	find("templates/*.html", regexp.MustCompile(`\b[tn] "([^"]+)"`))
	find("*.go", regexp.MustCompile(`\.(?:say|t|n)\("([^"]+)"`))
	find("messages.go", regexp.MustCompile(`"(duration\.[a-z]+)"`))
	return keys
}

func TestMessagesAreComplete(t *testing.T) {
	ja, en, keys := catalogue(t, "ja"), catalogue(t, "en"), used(t)
	for key, where := range keys {
		if ja[key] == "" || en[key] == "" {
			t.Errorf("message %s of %v: ja %q, en %q", key, where, ja[key], en[key])
		}
	}
	for _, words := range []map[string]string{ja, en} {
		for key := range words {
			if keys[key] == nil {
				t.Errorf("message %s is used nowhere", key)
			}
		}
	}
}

func TestMessagesHaveTheSameRoom(t *testing.T) {
	room := regexp.MustCompile(`{{\.([A-Za-z]+)}}`)
	names := func(s string) []string {
		var out []string
		for _, m := range room.FindAllStringSubmatch(s, -1) {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	en := catalogue(t, "en")
	for key, ja := range catalogue(t, "ja") {
		if a, b := names(ja), names(en[key]); !slices.Equal(a, b) {
			t.Errorf("message %s has room for %v in ja and %v in en", key, a, b)
		}
	}
}

// English words in a Japanese sentence, or Japanese in an English one, are what
// a hurried translation leaves behind.
func TestMessagesAreInTheirLanguage(t *testing.T) {
	kana := regexp.MustCompile(`[\p{Hiragana}\p{Katakana}\p{Han}]`)
	for key, s := range catalogue(t, "en") {
		if key != "layout.other_language" && kana.MatchString(s) {
			t.Errorf("message %s in en: %q", key, s)
		}
	}
	for key, s := range catalogue(t, "ja") {
		if !kana.MatchString(s) && !slices.Contains([]string{"layout.other_language", "layout.other_tag", "browser.on", "me.dot", "me.comma", "me.colon"}, key) {
			t.Errorf("message %s in ja: %q", key, s)
		}
	}
}

func TestLasting(t *testing.T) {
	tongues := mustLoad().tongues
	for _, tt := range []struct {
		d      time.Duration
		ja, en string
	}{
		{0, "1秒", "1 second"},
		{300 * time.Millisecond, "1秒", "1 second"},
		{29*time.Second + 1, "30秒", "30 seconds"},
		{time.Minute, "60秒", "60 seconds"},
		{61 * time.Second, "2分", "2 minutes"},
		{time.Hour, "60分", "60 minutes"},
		{time.Hour + time.Nanosecond, "2時間", "2 hours"},
	} {
		if ja, en := tongues["ja"].lasting(tt.d), tongues["en"].lasting(tt.d); ja != tt.ja || en != tt.en {
			t.Errorf("lasting(%v) = %q, %q; want %q, %q", tt.d, ja, en, tt.ja, tt.en)
		}
	}
}

func TestWhen(t *testing.T) {
	tongues := mustLoad().tongues
	at := time.Date(2026, 3, 31, 15, 5, 0, 0, time.UTC) // already April in Japan
	if got, want := string(tongues["ja"].when(at)), `<time datetime="2026-03-31T15:05:00Z">2026年4月1日（水）00:05 日本時間</time>`; got != want {
		t.Errorf("when in ja = %s, want %s", got, want)
	}
	if got, want := string(tongues["en"].when(at)), `<time datetime="2026-03-31T15:05:00Z">Wed 1 April 2026, 00:05 JST</time>`; got != want {
		t.Errorf("when in en = %s, want %s", got, want)
	}
}

func TestArticles(t *testing.T) {
	g := mustLoad().tongues["ja"]
	got := g.articles([]policy.Article{"46-2(1)", "46-2(6)", "64-2", "none"})
	for i, want := range []string{"第46条第2項第1号", "第46条第2項第6号（", "第64条第2項（認証情報", "none"} {
		if !strings.HasPrefix(got[i], want) || strings.HasSuffix(want, "号") && got[i] != want {
			t.Errorf("article %d is cited as %q, want %q", i, got[i], want)
		}
	}
}

// Every article that a page cites is one of the guideline's.
func TestArticlesExist(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	list, one := regexp.MustCompile(`policy\.Article\{([^}]*)\}`), regexp.MustCompile(`"([^"]+)"`)
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.FindAllStringSubmatch(string(raw), -1) {
			for _, a := range one.FindAllStringSubmatch(m[1], -1) {
				if seen++; !policy.ValidArticle(policy.Article(a[1])) {
					t.Errorf("%s cites article %s, which there is not", file, a[1])
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d citations were found: the test no longer sees them", seen)
	}
}
