package inspect

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A witness hears the complaints that would fail a test.
type witness struct {
	testing.TB
	heard []string
}

func (w *witness) Errorf(format string, args ...any) {
	w.heard = append(w.heard, fmt.Sprintf(format, args...))
}

// TestInspect: each check sees what it is there for, and nothing in a page that
// is in order.
func TestInspect(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	t.Parallel()
	const page = `<!DOCTYPE html><html lang="en"><head><title>t</title><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"></head>
		<body><main><h1>A page</h1><p>Some words, and <a href="/">a link in them</a>.</p><p><button style="min-height:48px;min-width:48px">Go</button></p>%s</main></body></html>`
	window := Open(t, Start(t))
	for _, tt := range []struct {
		name, fault string
		check       func(*Window)
		says        string
	}{
		{"too wide", `<p style="width:900px">wide</p>`, (*Window).Fits, "does not fit"},
		{"cut off", `<p style="width:80px;overflow:hidden;white-space:nowrap">words that are cut off at the side</p>`, (*Window).Fits, "hides"},
		{"hard to hit", `<button style="width:30px;height:30px">x</button>`, (*Window).Roomy, "30 by 30"},
		{"hard to read", `<p style="color:#aaa;background:#fff">pale</p>`, (*Window).Accessible, "color-contrast"},
		{"without a name", `<input>`, (*Window).Accessible, "label"},
		{"not in order", `<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">`, (*Window).Accessible, "image-alt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, fault := range []string{tt.fault, ""} {
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/html; charset=utf-8")
					fmt.Fprintf(w, page, fault)
				}))
				heard := &witness{TB: t}
				w := window.Named(heard, "the page")
				w.Go(srv.URL, 390)
				if strings.Contains(tt.says, "color") || strings.Contains(tt.says, "label") || strings.Contains(tt.says, "image") {
					if Axe(t) == "" {
						t.Skip("without axe-core there is nothing to ask")
					}
				}
				tt.check(w)
				if got := strings.Join(heard.heard, "\n"); strings.Contains(got, tt.says) != (fault != "") || fault == "" && got != "" {
					t.Errorf("with %q it says %q, want %q", fault, got, tt.says)
				}
				srv.Close()
			}
		})
	}
}

// TestStill: what moves after it was seen is told, and nothing else is. The page
// moves when the test says so, which is after it was painted, and the test looks
// when the browser has written the movement down: nothing here is a race.
func TestStill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!DOCTYPE html><html lang="en"><title>t</title><link rel="icon" href="data:,"><body><div id="above"></div><p>`+strings.Repeat("Words that move. ", 50)+`</p>`)
	}))
	defer srv.Close()
	heard := &witness{TB: t}
	w := Open(t, Start(t)).Named(heard, "the page")
	w.Go(srv.URL, 390)
	w.Still()
	if heard.heard != nil {
		t.Fatalf("a page that stands still: %q", heard.heard)
	}
	evaluate[bool](w, `new Promise((moved) => {
		new PerformanceObserver(() => moved(true)).observe({ type: 'layout-shift' });
		document.querySelector('#above').style.height = '100px';
	})`)
	w.Still()
	if got := strings.Join(heard.heard, "\n"); !strings.Contains(got, "the page moved while it was opened: by 0.") || !strings.Contains(got, "Words that move") {
		t.Errorf("a page that moved: %q", got)
	}
}
