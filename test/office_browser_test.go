package test

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"sekisho/test/harness"
)

// TestOfficeInTheBrowser walks through the administrators' pages by what stands
// on them: links are followed, fields filled, buttons pressed, without
// JavaScript once the passkey was asked for.
func TestOfficeInTheBrowser(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	b := newTab(t, newBrowser(t))
	key := b.pkAuthenticator(false)
	key.holds(d.Person(t, "sato"))
	b.waitsForClicks()
	b.open(d.URL + "/signin")
	b.sends("/signin/passkey", "h1")
	if evaluate[bool](b, `document.querySelector('form[action="/signin/acknowledge"]') !== null`) {
		b.sends("/signin/acknowledge", ".glance")
	}
	b.withoutScripts()
	t.Run("people", func(t *testing.T) { b.t = t; walkPeople(t, b, d) })
	t.Run("slips", func(t *testing.T) { b.t = t; walkSlips(t, b) })
	t.Run("terminals", func(t *testing.T) { b.t = t; walkTerminals(t, b) })
	t.Run("tokens", func(t *testing.T) { b.t = t; walkTokens(t, b, d) })
}

// clicksTo follows a link, or presses a button, to another page.
func (b *tab) clicksTo(selector, then string) {
	b.t.Helper()
	b.leaves(chromedp.Click(chromedp.CSS(selector)), then)
}

// chooses picks one of what a list offers.
func (b *tab) chooses(field, value string) {
	b.t.Helper()
	b.sees(field)
	if got := evaluate[string](b, `(() => { const f = document.querySelector(`+quote(field)+`); f.value = `+quote(value)+`; return f.value })()`); got != value {
		b.t.Fatalf("%s does not offer %s", field, value)
	}
}

// confirms presses the button of a page that asks once more before it acts.
func (b *tab) confirms(then string) { b.t.Helper(); b.clicksTo("main form[method=post] button", then) }

// says fails the test unless the page says something.
func (b *tab) says(want ...string) {
	b.t.Helper()
	got := b.text("main")
	for _, w := range want {
		if !strings.Contains(got, w) {
			b.t.Errorf("the page does not say %q:\n%s", w, got)
		}
	}
}

func walkPeople(t *testing.T, b *tab, d *harness.Dev) {
	for range 7 {
		harness.NewClient(d.URL).Password(t, "tanaka", "not-the-password")
	}
	b.clicksTo(`.doors a[href="/people"]`, ".search")
	b.says("最後に使った日")
	// Who is shut out is found by that, and the page says it first.
	b.chooses("#state", "shut_out")
	b.clicksTo(".search button", ".rows")
	if got := evaluate[string](b, `[...document.querySelectorAll('.rows tbody .sub')].map((e) => e.textContent).join(' ')`); got != "tanaka" {
		t.Errorf("shut out are %s", got)
	}
	b.clicksTo(".rows th a", "#acts")
	b.says("失敗による締め出し中", "続けて")
	b.clicksTo(".note a.lone", "main form[method=post]")
	b.says("失敗の回数が0に戻ります")
	b.confirms(".note.good")
	b.says("締め出しを解きました", "サインインを妨げるものはありません", "締め出しを解いた")
	if s, a := harness.NewClient(d.URL).Password(t, "tanaka", d.Person(t, "tanaka").Password); s.State != "second_factor" {
		t.Errorf("after unlocking: %d %s", a.Status, a.Body)
	}

	b.clicksTo(`#acts ~ .list a[href$="/suspend"]`, "#reason")
	b.types("#reason", "端末の紛失の連絡")
	b.confirms(".note.good")
	b.says("利用停止にしました", "端末の紛失の連絡", "どの方法でもサインインできません")
	if _, a := harness.NewClient(d.URL).Password(t, "tanaka", d.Person(t, "tanaka").Password); a.Status != http.StatusUnauthorized {
		t.Errorf("suspended: %d", a.Status)
	}
	b.clicksTo(".note.good a.lone", "#reason")
	b.confirms(".note.good")
	b.says("利用停止を解きました", "サインインを妨げるものはありません")

	b.clicksTo(`#factors ~ .list a[href$="/remove"]`, "main form[method=post]")
	b.confirms(".note.good")
	b.says("認証要素を外しました", "登録されている認証要素はありません")
	b.clicksTo(".note.good a.lone", "main form[method=post]")
	b.confirms(".slip")
	b.says("回復コード")
	b.prints(t, "slip-code")
	b.clicksTo(".acts a", "#past")
	b.says("回復コードを渡した", "渡した回復コードがまだ使われていません")

	// Nobody's own ID, and nobody who approves.
	b.open(d.URL + "/people?q=kobayashi")
	b.clicksTo(".rows th a", "#acts")
	b.clicksTo(`.office a[href="/people"]`, ".search")
}

func walkSlips(t *testing.T, b *tab) {
	b.open(evaluate[string](b, `location.origin`) + "/people?q=suzuki")
	b.clicksTo(".rows th a", "#acts")
	b.clicksTo(`#acts ~ .list a[href$="/temporary-password"]`, "main form[method=post]")
	b.confirms(".slip")
	b.prints(t, "slip-password")
	b.clicksTo(".acts a", "#past")
	b.says("仮パスワードを渡した", "最初に使うときに変更します")
}

var pageCount = regexp.MustCompile(`/Type\s*/Pages\s[^>]*?/Count\s+(\d+)|/Count\s+(\d+)\s[^>]*?/Type\s*/Pages\b`)

// prints makes the PDF of a slip: one page of A4 and of A5, with the slip on it
// and nothing else. With SEKISHO_SHOTS it is kept.
func (b *tab) prints(t *testing.T, name string) {
	b.t.Helper()
	for _, paper := range []struct {
		name          string
		width, height float64
	}{{"a4", 8.27, 11.69}, {"a5", 5.83, 8.27}} {
		pdf, err := chromedp.Call(b.ctx, cdppage.PrintToPDF, cdppage.PrintToPDFParams{PaperWidth: paper.width, PaperHeight: paper.height})
		if err != nil {
			t.Fatal(err)
		}
		n := pageCount.FindSubmatch(pdf.Data)
		if n == nil || string(n[1])+string(n[2]) != "1" {
			t.Errorf("%s on %s is not one page: %q", name, paper.name, n)
		}
		if dir := os.Getenv("SEKISHO_SHOTS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, name+"-"+paper.name+".pdf"), pdf.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	media := func(m string) {
		if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: m}); err != nil {
			t.Fatal(err)
		}
	}
	slip := b.text(".slip")
	media("print")
	if got := strings.Join(strings.Fields(b.text("body")), " "); got != strings.Join(strings.Fields(b.text(".slip")), " ") {
		t.Errorf("on paper there is more than the slip: %s", got)
	}
	media("")
	if !strings.Contains(slip, "有効期限") || !strings.Contains(slip, "Good until") {
		t.Errorf("the slip says %s", slip)
	}
}

func walkTerminals(t *testing.T, b *tab) {
	b.clicksTo(`.office a[href="/terminals"]`, ".rows")
	b.clicksTo(`a[href="/terminals/enrol"]`, "#id")
	b.types("#id", "madoguchi-77")
	b.types("#name", "窓口77番")
	b.chooses("#class", "counter")
	b.chooses("#zone", "lgwan")
	b.types("#public_key", "鍵ではない")
	b.confirms("#faults")
	b.types("#public_key", "")
	b.confirms(".note.good")
	b.says("端末を登録しました", "窓口77番", "鍵がありません")
	b.clicksTo(`a[href="/terminals/madoguchi-77/lost"]`, "main form[method=post]")
	b.says("二度と使えなくなります")
	b.confirms(".note.good")
	b.says("紛失として記録しました")
	if evaluate[bool](b, `document.querySelector('a[href="/terminals/madoguchi-77/lost"]') !== null`) {
		t.Error("a lost terminal can be lost again")
	}
}

func walkTokens(t *testing.T, b *tab, d *harness.Dev) {
	seed := []byte("abcdefghijklmnopqrst")
	b.clicksTo(`.office a[href="/tokens"]`, ".search")
	b.clicksTo(`a[href="/tokens/import"]`, "#data")
	b.chooses("#format", "pskc")
	b.types("#data", fmt.Sprintf(`<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"><KeyPackage>`+
		`<DeviceInfo><Manufacturer>Rei</Manufacturer><SerialNo>W-77</SerialNo></DeviceInfo>`+
		`<Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp"><AlgorithmParameters><ResponseFormat Length="6" Encoding="DECIMAL"/></AlgorithmParameters>`+
		`<Data><Secret><PlainValue>%s</PlainValue></Secret><TimeInterval><PlainValue>30</PlainValue></TimeInterval></Data>`+
		`<Policy><KeyUsage>OTP</KeyUsage></Policy></Key></KeyPackage></KeyContainer>`, base64.StdEncoding.EncodeToString(seed)))
	b.confirms(".note.good")
	b.says("新しいトークン：1個", "W-77", "在庫")
	b.clicksTo(`.rows a[href="/tokens/W-77"]`, "#acts")
	b.clicksTo(`a[href="/tokens/W-77/assign"]`, "#login")
	b.types("#login", "nobody-here")
	b.confirms("#faults")
	b.types("#login", "hayashi")
	b.confirms(".note.good")
	b.says("トークンを割り当てました", "割り当て済み", "hayashi")
	b.clicksTo(`a[href="/tokens/W-77/resync"]`, "#first")
	secret := base32.StdEncoding.EncodeToString(seed)
	now := harness.NewClient(d.URL).Now(t).Add(90 * time.Second) // its clock is fast
	b.types("#first", harness.Code(t, secret, now))
	b.types("#second", harness.Code(t, secret, now.Add(30*time.Second)))
	b.confirms(".note.good")
	b.says("時計のずれを合わせました")
	b.clicksTo(`a[href="/tokens/W-77/lost"]`, "main form[method=post]")
	b.confirms(".note.good")
	b.says("このトークンは使えません", "紛失")
}
