package page

import "testing"

// TestEveryPageIsParsed: a page is parsed when it is first shown, so a fault in one
// that is seldom shown would be found by whoever needs it.
func TestEveryPageIsParsed(t *testing.T) {
	t.Parallel()
	p := mustLoad()
	for _, lang := range languages {
		if len(p.templates[lang]) < 20 {
			t.Errorf("%d pages in %s", len(p.templates[lang]), lang)
		}
		for name, page := range p.templates[lang] {
			own, err := page()
			if err != nil {
				t.Error(err)
				continue
			}
			if own.Lookup("layout") == nil {
				t.Errorf("%s (%s) has no layout", name, lang)
			}
		}
	}
}
