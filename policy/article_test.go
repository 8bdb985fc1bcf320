package policy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestValidArticle(t *testing.T) {
	for a, want := range map[Article]bool{
		"1": true, "84": true, "62-7": true, "62-8": false, "62-1": true,
		"26no2": true, "26no2-3(3)": true, "26no2-3(4)": false, "26no2-2(1)": false, "26no3-1": true, "26no3-3": false, "26no6": false,
		"79-3(13)": true, "79-3(14)": false, "79no4-1(2)": true, "11no2-4": true, "47no2": true, "47no3": false,
		"46-2(6)": true, "46-2(9)": false, "46-1(2)": true, "46(1)": false, // two paragraphs have items: which one is meant?
		"17(4)": true, "17(5)": false, "17-1(4)": true, "6(3)": true, "38-7": true, "38-8": false,
		"0": false, "85": false, "62-0": false, "062": false, "62-": false, "62-07": false, "": false, "第62条": false, "62-7 ": false, "62no1": false,
	} {
		if got := ValidArticle(a); got != want {
			t.Errorf("ValidArticle(%q) = %v, want %v", a, got, want)
		}
	}
}

func TestArticlesAreComplete(t *testing.T) {
	all := Articles()
	if len(all) != 93 { // 84, and 11no2, 26no2 to 26no5, 47no2, 79no2 to 79no4
		t.Errorf("there are %d articles", len(all))
	}
	seen := map[Article]bool{}
	for _, a := range all {
		if seen[a.ID] {
			t.Errorf("%s is there twice", a.ID)
		}
		seen[a.ID] = true
		if a.Title.JA == "" || a.Title.EN == "" {
			t.Errorf("%s has no title in both languages: %+v", a.ID, a.Title)
		}
		if (a.Summary.JA == "") != (a.Summary.EN == "") {
			t.Errorf("%s is summed up in one language only", a.ID)
		}
	}
	for _, a := range strings.Fields("11 11no2 12 13 14 15 16 26no2 26no3 26no4 26no5 38 39 40 41 42 43 44 45 46 47 49 51 62 63 64 65 67 68 75 77 78 79 79no2 79no3 79no4 80 82 83 84") {
		if info, ok := Article(a).Info(); !ok || info.Summary.IsEmpty() {
			t.Errorf("article %s, which the controls name, has no summary", a)
		}
	}
}

func TestInfoOfParagraphIsItsArticles(t *testing.T) {
	info, ok := Article("62-7").Info()
	if !ok || info.ID != "62-7" || info.Title.JA != "利用制御" || info.Title.EN == "" {
		t.Errorf("Info() = %+v, %v", info, ok)
	}
	if info, ok := Article("62-8").Info(); ok || info != (ArticleInfo{}) {
		t.Errorf("Info() of a paragraph there is not = %+v, %v", info, ok)
	}
}

func TestLabel(t *testing.T) {
	for _, tt := range []struct {
		a      Article
		ja, en string
	}{
		{"62-7", "第62条第7項", "Article 62(7)"},
		{"26no3-1", "第26条の3第1項", "Article 26-3(1)"},
		{"79-3(13)", "第79条第3項第13号", "Article 79(3) item 13"},
		{"65", "第65条", "Article 65"},
		{"our own", "our own", "our own"},
	} {
		if ja, en := tt.a.Label("ja"), tt.a.Label("en"); ja != tt.ja || en != tt.en {
			t.Errorf("%s: %q, %q", tt.a, ja, en)
		}
	}
}

// TestArticlesInUseExist finds the references that our own source makes. A
// reference to nothing would stand in a trail that nobody can correct.
func TestArticlesInUseExist(t *testing.T) {
	for _, s := range Settings() {
		if s.Article != "" && !ValidArticle(s.Article) {
			t.Errorf("setting %s: article %q", s.Path, s.Article)
		}
	}
	for _, r := range DeviationRules() {
		if !ValidArticle(r.Article) {
			t.Errorf("deviation %s: article %q", r.ID, r.Article)
		}
	}
	for _, p := range standardPosts() {
		if !ValidArticle(p.Article) {
			t.Errorf("post %s: article %q", p.ID, p.Article)
		}
	}
	literal := regexp.MustCompile(`"([1-9][0-9]?(?:no[0-9]+)?(?:-[0-9]+)?(?:\([0-9]+\))?)"`)
	uses := regexp.MustCompile(`policy\.Article\{[^}]*\}|policy\.Article\("[^"]*"\)|\bArticle:\s*"[^"]*"|\b(?:refuse|need|once|link|served|check)\([^\n]*`)
	found := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		own := filepath.Dir(path) == filepath.Join("..", "policy")
		for _, use := range uses.FindAllString(string(source), -1) {
			call := !strings.Contains(use, "Article")
			if call && !own {
				continue
			}
			for _, m := range literal.FindAllStringSubmatch(use, -1) {
				if call && !strings.ContainsAny(m[1], "-(n") {
					continue // a number that is the nearest choice
				}
				found++
				if !ValidArticle(Article(m[1])) {
					t.Errorf("%s: %q is no article: %s", path, m[1], use)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 40 {
		t.Errorf("only %d references found: the search is broken", found)
	}
}
