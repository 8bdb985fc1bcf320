package page

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"sekisho/test/inspect"
)

// TestEveryPageIsSeen looks at every page, in every shape and both languages, in
// a real browser: at a desk (1280 pixels), at twice the size there (640), on a
// telephone (390) and as narrow as WCAG 1.4.10 asks (320).
func TestEveryPageIsSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	t.Parallel()
	window := inspect.Open(t, inspect.Start(t))
	for _, lang := range languages {
		for _, sc := range scenes {
			if alike[sc.name] {
				continue
			}
			t.Run(lang+"/"+sc.name, func(t *testing.T) {
				name := sc.name + "-" + lang
				b := window.Named(t, name)
				b.Go(shown(t, lang, sc), 1280)
				b.Still()
				b.Fits()
				b.Roomy()
				b.Accessible()
				b.Keep(name + "-1280")
				for _, width := range []int64{640, 320, 390} {
					b.Widen(width)
					b.Fits()
					b.Roomy()
				}
				if lang == languages[0] { // the structure is the same in the other
					b.Accessible()
				}
				b.Keep(name + "-390")
			})
		}
	}
}

// shown is where a browser finds a scene: exactly what was answered, with its
// headers, and the assets it names.
func shown(t *testing.T, lang string, sc scene) string {
	t.Helper()
	w := newWorld(t)
	w.lang = lang
	page := sc.show(w).is(sc.status)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a := page
		if r.URL.Path != "/" {
			a = w.get(r.URL.Path)
		}
		maps.Copy(rw.Header(), a.Header)
		rw.Header().Del("Set-Cookie")
		rw.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		if r.URL.Path == "/" {
			rw.WriteHeader(http.StatusOK) // a browser shows a refusal no differently
		} else {
			rw.WriteHeader(a.StatusCode)
		}
		_, _ = rw.Write([]byte(a.body))
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/"
}
