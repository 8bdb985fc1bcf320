// Package inspect looks at a page in a real browser as people with different
// eyes, hands and windows meet it: does it fit, does it stay where it is, can it
// be hit and read.
//
// It knows nothing of what a page says or where it comes from.
package inspect

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sekisho/test/harness"
)

// Start starts Chromium, in Japanese unless a page is asked for otherwise, and
// stops it when the test ends.
func Start(t testing.TB) context.Context {
	t.Helper()
	binary := harness.Need(t, "chromium", "chromium")
	alloc, cancel := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(binary), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless,
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("accept-lang", "ja"), chromedp.Flag("lang", "ja"),
		chromedp.UserDataDir(t.TempDir()),
	)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithErrorf(t.Logf))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// A Window shows one page at a time.
type Window struct {
	t    testing.TB
	ctx  context.Context
	axe  string
	name string // of the page, for what is said of it
}

// Open opens a window of a browser that shares nothing with its other windows.
func Open(t testing.TB, browser context.Context) *Window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	// The first step opens the window, which lives as long as the context of that
	// step: no other may have a deadline before it.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return Over(t, ctx)
}

// Over looks at a window that somebody else steers.
func Over(t testing.TB, ctx context.Context) *Window { return &Window{t: t, ctx: ctx} }

// Named says which page is looked at, and for which test.
func (w *Window) Named(t testing.TB, name string) *Window {
	named := *w
	named.t, named.name = t, name
	return &named
}

func (w *Window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
}

// evaluate runs a script, waiting for what it promises.
func evaluate[T any](w *Window, script string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
	return v
}

// Go leads to a page in a window of a width.
func (w *Window) Go(url string, width int64) {
	w.t.Helper()
	w.do(chromedp.EmulateViewport(width, 800), chromedp.Navigate(url))
}

// Widen changes the width of the window.
func (w *Window) Widen(width int64) {
	w.t.Helper()
	w.do(chromedp.EmulateViewport(width, 800))
}

// Fits fails the test where something does not fit the width of the window, or
// is cut off in it.
func (w *Window) Fits() {
	w.t.Helper()
	if bad := evaluate[string](w, overflow); bad != "" {
		w.t.Errorf("%s does not fit: %s", w.name, bad)
	}
}

const overflow = `(() => {
	const width = document.documentElement.clientWidth, bad = [];
	if (document.documentElement.scrollWidth > width) bad.push('the page is ' + document.documentElement.scrollWidth + ' wide in ' + width);
	for (const e of document.body.querySelectorAll('*')) {
		if (e.closest('.skip, .unseen')) continue;
		const r = e.getBoundingClientRect();
		if (r.width > 1 && r.height > 1 && (r.right > width + 1 || r.left < -1))
			bad.push(e.tagName + '.' + e.className + ' from ' + r.left + ' to ' + r.right);
		if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1 && getComputedStyle(e).overflowX !== 'visible' && !['INPUT', 'TEXTAREA'].includes(e.tagName))
			bad.push(e.tagName + '.' + e.className + ' hides ' + (e.scrollWidth - e.clientWidth));
	}
	return bad.join('\n');
})()`

// Still fails the test where anything on the page has moved by itself since it
// was opened (Layout Instability), and says what. A browser that is short of a
// processor paints a page before it has read it to its end, though it was sent in
// one piece; what makes room for the rest then is the reading, and is passed over.
func (w *Window) Still() {
	w.t.Helper()
	if moved := evaluate[string](w, shift); moved != "" {
		w.t.Errorf("%s moved while it was opened: %s", w.name, moved)
	}
}

// What moved is written down when the frame that shows it has been made, so two
// are waited for; what was written down before is then there at once.
const shift = `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => {
	const seen = new PerformanceObserver(() => {});
	seen.observe({ type: 'layout-shift', buffered: true });
	return seen.takeRecords().filter((e) => !e.hadRecentInput).map((e) => 'by ' + e.value + ': ' + e.sources.map((s) =>
		(s.node && s.node.outerHTML ? s.node.outerHTML.slice(0, 80) : String(s.node && s.node.nodeName)) + ' from ' +
		[s.previousRect.x, s.previousRect.y, s.previousRect.width, s.previousRect.height].join() + ' to ' +
		[s.currentRect.x, s.currentRect.y, s.currentRect.width, s.currentRect.height].join()).join('; ')).join('\n');
})`

// Roomy fails the test where something to press is smaller than a fingertip: 44
// pixels each way (WCAG 2.2, 2.5.5), but for links inside a sentence.
func (w *Window) Roomy() {
	w.t.Helper()
	if bad := evaluate[string](w, small); bad != "" {
		w.t.Errorf("%s has what is hard to hit: %s", w.name, bad)
	}
}

const small = `[...document.querySelectorAll('button, .button, input:not([type=hidden]), textarea, select, nav a, .acts a, .lone, .doors a, .brand a, .foot a, .who a')]
	.map((e) => [e, e.getBoundingClientRect()])
	.filter(([e, r]) => r.width > 0 && (r.height < 43.5 || r.width < 43.5) && !['checkbox', 'radio'].includes(e.type))
	.map(([e, r]) => e.outerHTML.slice(0, 80) + ' is ' + Math.round(r.width) + ' by ' + Math.round(r.height)).join('\n')`

// Accessible fails the test for each violation of WCAG 2.2 at level A or AA that
// axe-core finds. Where axe-core is missing, the test fails under test/run and
// goes without it otherwise.
func (w *Window) Accessible() {
	w.t.Helper()
	if w.axe == "" {
		w.axe = Axe(w.t)
	}
	if w.axe == "" {
		return
	}
	if !evaluate[bool](w, `typeof axe !== 'undefined'`) {
		evaluate[bool](w, w.axe+"\n;true")
	}
	for _, v := range evaluate[[]string](w, violations) {
		w.t.Errorf("%s: %s", w.name, v)
	}
}

const violations = `axe.run(document, {
	resultTypes: ['violations'],
	runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] },
}).then((r) => r.violations.map((v) => v.id + ': ' + v.help + ': ' + v.nodes.map((n) => n.html.slice(0, 200) + ' ' + n.failureSummary).join(' | ')))`

// Axe is the text of axe-core, which test/run fetches; "" without it.
func Axe(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(axeFile())
	if err == nil {
		return string(text)
	}
	if os.Getenv("SEKISHO_TEST_REQUIRE") == "1" {
		t.Fatalf("axe-core is missing: test/run fetches it: %v", err)
	}
	t.Logf("going without axe-core: %v", err)
	return ""
}

// axeFile is where test/run puts axe-core.
func axeFile() string {
	tools := os.Getenv("SEKISHO_TOOLS")
	if tools == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		tools = filepath.Join(cache, "sekisho-tools")
	}
	return filepath.Join(tools, "axe.min.js")
}

// Keep keeps a picture of the whole page where SEKISHO_SHOTS names a folder.
func (w *Window) Keep(name string) {
	w.t.Helper()
	dir := os.Getenv("SEKISHO_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}
