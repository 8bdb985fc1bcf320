package test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"sekisho/test/harness"
)

// A tab is one window of a browser, with cookies of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	messages []chromedp.ConsoleMessage
}

// newBrowser starts Chromium, one for a whole test.
func newBrowser(t *testing.T) context.Context {
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

// newTab opens a window that shares nothing with the others. Whatever the
// browser itself complains about in it fails the test.
func newTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.messages = append(b.messages, m)
			b.mu.Unlock()
		}
	}()
	t.Cleanup(b.quiet)
	return b
}

// quiet fails the test if the browser complained: scripts that failed, what the
// content security policy kept out, pictures that were not there.
func (b *tab) quiet() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		// The page itself being a refusal is what some tests ask for.
		if strings.Contains(m.Text, "the server responded with a status of 4") {
			continue
		}
		if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.Type == chromedp.ConsoleException {
			b.t.Errorf("the browser complains: %s: %s (%s)", m.Type, m.Text, m.URL)
		}
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		at, _ := chromedp.Run(b.ctx, chromedp.Location())
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		b.t.Fatalf("%v at %s:\n%s", err, at, text)
	}
}

func evaluate[T any](b *tab, script string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

func (b *tab) open(url string) { b.t.Helper(); b.do(chromedp.Navigate(url)) }

// sees waits until the page has something to show for a selector.
func (b *tab) sees(selector string) { b.t.Helper(); b.do(chromedp.WaitVisible(chromedp.CSS(selector))) }

// text is what the page shows there.
func (b *tab) text(selector string) string {
	b.t.Helper()
	b.sees(selector)
	return evaluate[string](b, `document.querySelector(`+quote(selector)+`).innerText`)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `\'`) + "'" }

// types fills a field.
func (b *tab) types(field, text string) {
	b.t.Helper()
	b.sees(field)
	evaluate[string](b, `document.querySelector(`+quote(field)+`).value = ""`)
	b.do(chromedp.SendKeys(chromedp.CSS(field), text))
}

// sends presses the button of a form and waits for the page that follows.
func (b *tab) sends(action, then string) {
	b.t.Helper()
	b.leaves(chromedp.Click(chromedp.CSS(`form[action="`+action+`"] button`)), then)
}

// leaves does what leads to another page, and waits until that is there.
func (b *tab) leaves(step chromedp.Action[chromedp.Void], then string) {
	b.t.Helper()
	evaluate[bool](b, `window.stale = true`)
	b.do(step)
	b.arrives(then)
}

// arrives waits until the old page has gone and the new one shows a selector.
func (b *tab) arrives(then string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	ready := `!window.stale && document.readyState === 'complete'`
	for {
		fresh, err := chromedp.Run(ctx, chromedp.Evaluate[bool](ready))
		if err == nil && fresh {
			break
		}
		if ctx.Err() != nil {
			b.t.Fatalf("no new page came: %v", err) // an error before that is the page changing
		}
	}
	b.sees(then)
}

// presses sends keys to whatever has the focus.
func (b *tab) presses(keys string) { b.t.Helper(); b.do(chromedp.KeyEvent(keys)) }

// tabsTo presses Tab until an element has the focus, which must be seen.
func (b *tab) tabsTo(selector string) {
	b.t.Helper()
	for range 30 {
		b.presses(kb.Tab)
		if evaluate[bool](b, `document.activeElement.matches(`+quote(selector)+`)`) {
			if !evaluate[bool](b, `(() => { const s = getComputedStyle(document.activeElement);
				return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== 'none' })()`) {
				b.t.Errorf("%s has the focus, and nothing shows it", selector)
			}
			return
		}
	}
	b.t.Fatalf("30 times Tab does not lead to %s", selector)
}

// overflow finds what does not fit into the width of the window.
const overflow = `(() => {
	const width = document.documentElement.clientWidth, bad = [];
	if (document.documentElement.scrollWidth > width) bad.push('the page is ' + document.documentElement.scrollWidth + ' wide');
	for (const e of document.body.querySelectorAll('*')) {
		const r = e.getBoundingClientRect();
		if (r.width > 1 && r.height > 1 && !e.closest('.skip') && (r.right > width + 1 || r.left < -1))
			bad.push(e.tagName + '.' + e.className + ' from ' + r.left + ' to ' + r.right);
		if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1 && getComputedStyle(e).overflowX !== 'visible' && !['INPUT', 'TEXTAREA'].includes(e.tagName))
			bad.push(e.tagName + '.' + e.className + ' hides ' + (e.scrollWidth - e.clientWidth));
	}
	return bad.join('\n');
})()`

// look makes sure that the page fits a desk and a telephone, has one heading
// and a title, and says its language. With SEKISHO_SHOTS it keeps pictures.
func (b *tab) look(name, lang string) {
	b.t.Helper()
	if got := evaluate[string](b, `document.documentElement.lang`); got != lang {
		b.t.Errorf("%s is in %q, want %q", name, got, lang)
	}
	if n := evaluate[int](b, `document.querySelectorAll('h1').length`); n != 1 {
		b.t.Errorf("%s has %d headings of the first rank", name, n)
	}
	for _, size := range []struct {
		width int64
		name  string
	}{{1280, "1280"}, {390, "390"}} {
		b.do(chromedp.EmulateViewport(size.width, 800))
		if bad := evaluate[string](b, overflow); bad != "" {
			b.t.Errorf("%s does not fit %s: %s", name, size.name, bad)
		}
		if dir := os.Getenv("SEKISHO_SHOTS"); dir != "" {
			png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name+"-"+lang+"-"+size.name+".png"), png, 0o600)
			}
			if err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.do(chromedp.EmulateViewport(1280, 800))
}

// withoutScripts turns JavaScript off.
func (b *tab) withoutScripts() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.t.Fatal(err)
	}
}
