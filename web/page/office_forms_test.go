package page

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/authz/people"
	"sekisho/policy"
)

func TestSuspendForm(t *testing.T) {
	for _, tt := range []struct {
		reason, until string
		does, says    string
	}{
		{"a", "", "suspend suzuki a 0001-01-01T00:00:00Z", ""},
		{"a", " 2026-04-01 ", "suspend suzuki a 2026-04-01T15:00:00Z", ""}, // today, in Japan
		{"a", "2026-03-31", "", "今日以降の日付"},
		{"a", "2026-4-1", "", "今日以降の日付"},
		{"a", "2026-02-30", "", "今日以降の日付"},
		{"", "", "", "理由を入力してください"},
		{strings.Repeat("あ", 501), "", "", "500文字以内"},
		{strings.Repeat("あ", 500), "", "suspend suzuki " + strings.Repeat("あ", 500) + " 0001-01-01T00:00:00Z", ""},
	} {
		o := inOffice(newWorld(t))
		a := o.post("/people/suzuki/suspend", "reason", tt.reason, "until", tt.until)
		if tt.says == "" {
			a.is(http.StatusSeeOther)
		} else {
			a.is(http.StatusUnprocessableEntity).says(tt.says, `value="`+tt.until+`"`, ">"+tt.reason+"</textarea>")
		}
		if o.last() != tt.does {
			t.Errorf("%+v: did %q", tt, o.last())
		}
	}
	// What the service alone can see is shown in place as well.
	o := inOffice(newWorld(t))
	o.actErr = &people.Invalid{Field: "reason", Rule: "unusable", Says: policy.Words{JA: "理由に使えない文字があります。", EN: "Odd."}}
	o.post("/people/suzuki/suspend", "reason", "x<y").is(422).says(`id="reason-wrong-0"`, "使えない文字", "x&lt;y</textarea>")
	o.actErr = people.ErrNothingToLift
	o.post("/people/suzuki/restore").is(409).says("手続きを進められませんでした", `action="/people/suzuki/restore"`)
	o.actErr = errStore
	o.post("/people/suzuki/unlock").is(500).keepsSilentOn(errStore.Error())
}

func TestOfficeSearch(t *testing.T) {
	o := inOffice(newWorld(t))
	o.next = "kato"
	o.get("/people?q="+url.QueryEscape(" 鈴木 ")+"&after=abe").is(200).says(
		`value="鈴木"`, `href="/people?after=kato&amp;q=%E9%88%B4%E6%9C%A8"`, `href="/people?q=%E9%88%B4%E6%9C%A8"`, `href="/people?lang=en&amp;q=%E9%88%B4%E6%9C%A8"`, "利用停止中", "未利用のため停止", "休業・休職中", "期限切れ", "ディレクトリで無効")
	if o.last() != "find {鈴木    false} abe 50" {
		t.Errorf("did %q", o.last())
	}
	// What it is narrowed to goes along to the next page and the other language.
	o.next, o.read = "kato", 1000
	a := o.get("/people?section=joho&kind=staff&state=suspended&colour=blue").is(200).says(
		`href="/people?after=kato&amp;kind=staff&amp;section=joho&amp;state=suspended"`, `href="/people?lang=en&amp;kind=staff&amp;section=joho&amp;state=suspended"`,
		`<option value="joho" selected>`, `<option value="staff" selected>`, `<option value="suspended" selected>`, "1000人を調べました", "選んだ状態の人").keepsSilentOn("blue")
	if o.last() != "find { joho staff suspended false}  50" {
		t.Errorf("did %q", o.last())
	}
	for _, s := range people.States() {
		if !strings.Contains(a.body, `<option value="`+s+`"`) {
			t.Errorf("nobody can be looked for who is %s", s)
		}
	}
	o.next, o.read = "kato", 0
	o.found, o.next = nil, ""
	o.get("/people?q=zz").says("「zz」に当てはまる人は見つかりませんでした", "綴りを確かめるか").keepsSilentOn("<table")
	o.get("/people?q=zz&after=b").says("これより先にはありません").keepsSilentOn("見つかりませんでした")
	o.lang = "en"
	o.get("/people?q=zz").says("Nobody was found for “zz”")
	o.lookErr = oddQuery
	o.get("/people?q=%2A").is(422).says("No name has these characters.", `value="*"`, `aria-invalid="true"`).keepsSilentOn("Nobody")
	o.get("/tokens?q=%2A").is(422).says(`value="*"`)
	o.lookErr = errStore
	o.get("/people?q=a").is(500)
}

// A token is found by its whole serial number, though the inventory is looked
// through by its beginning and a page at a time.
func TestTokenIsFoundBehindOthers(t *testing.T) {
	o := inOffice(newWorld(t))
	all := o.office.tokens
	o.office.tokens, o.next = all[1:], "A0002"
	o.get("/tokens/A0001").is(http.StatusNotFound) // the inventory repeats itself: that must end
	if n := len(o.did); n != 2 {
		t.Errorf("asked %d times: %q", n, o.did)
	}
	o.next = ""
	o.get("/tokens/A0003").is(200).says("トークン A0003")
}

func TestTerminalForm(t *testing.T) {
	o := inOffice(newWorld(t))
	o.get("/terminals").says("住基端末1", "SHA256:aaaaaaaaa…", "方針に書かれています", "専用端末は、ここでは登録できません", "紛失").keepsSilentOn("aaaaaaaaaaaaaaaaaaaa")
	o.post("/terminals/enrol").is(422).says(`id="id-wrong-0"`, `id="name-wrong-0"`, `id="class-wrong-0"`, `id="zone-wrong-0"`)
	if len(o.did) != 0 {
		t.Errorf("did %q", o.did)
	}
	full := []string{"id", "m-1", "name", "窓口<1>", "name_en", "C", "class", "lent", "zone", "lgwan", "public_key", "-----BEGIN PUBLIC KEY-----"}
	o.actErr = &terminal.Invalid{Field: "id", Rule: "taken", Says: policy.Words{JA: "この番号は使われています。", EN: "Taken."}}
	o.post("/terminals/enrol", full...).is(422).says("この番号は使われています", `value="m-1"`, `value="窓口&lt;1&gt;"`, `<option value="lent" selected>`, `<option value="lgwan" selected>`, "BEGIN PUBLIC KEY")
	// A private key that was pasted by mistake does not come back.
	full[11] = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----"
	o.actErr = &terminal.Invalid{Field: "public_key", Rule: "private", Says: policy.Words{JA: "これは秘密鍵です。", EN: "Private."}}
	o.post("/terminals/enrol", full...).is(422).says("これは秘密鍵です", `value="m-1"`).keepsSilentOn("MHcCAQEEIB")
}

func TestImportForm(t *testing.T) {
	o := inOffice(newWorld(t))
	o.post("/tokens/import", "format", "xls", "data", "a").is(422).says("形式を選んで")
	o.post("/tokens/import", "format", "csv", "data", " \n").is(422).says("製造元のファイルを選んでください", `id="file-wrong-0"`)
	o.bring("/tokens/import", "A1,5345454453", "format", "csv", "data", "A2,5345454454").is(422).says("どちらか一方だけ").keepsSilentOn("5345454453", "5345454454")
	o.bring("/tokens/import", strings.Repeat("a", oath.MaxFile+1), "format", "csv").is(413).says("1024 KiB")
	if len(o.did) != 0 {
		t.Errorf("did %q", o.did)
	}
	// Every wrong line is named, and no seed or key comes back.
	o.actErr = fileFaults
	o.post("/tokens/import", "format", "pskc", "data", "A1,5345454453", "key", "hunter2").is(422).
		says("2行目", "種を読み取れません", "5行目", `id="data-wrong-1"`, `id="key-wrong-0"`, `<option value="pskc" selected>`, "残していません").
		keepsSilentOn("5345454453", "hunter2", "key: ")
	o.bring("/tokens/import", "A1,5345454453", "format", "csv").is(422).says(`id="file-wrong-1"`, `id="key-wrong-0"`).keepsSilentOn("5345454453", `id="data-wrong`)
	if strings.Contains(o.log.String(), "5345454453") || strings.Contains(o.log.String(), "hunter2") {
		t.Error("the log holds a seed or a key")
	}
	o.actErr, o.imported = nil, totp.Imported{Added: 3, Known: []string{"A1", "A2"}}
	o.post("/tokens/import", "format", "csv", "data", "x").leadsTo("/tokens?added=3&done=imported&known=2")
	o.did = nil
	o.bring("/tokens/import", "serial,seed\nA1,5345454453", "format", "csv").leadsTo("/tokens?added=3&done=imported&known=2")
	if want := "import csv serial,seed\nA1,5345454453"; !slices.Contains(o.did, want) {
		t.Errorf("did %q, want %q", o.did, want)
	}
	o.get("/tokens?added=3&done=imported&known=2").says("新しいトークン：3個", "そのままにしたもの：2個")
	o.get("/tokens?added=%3Cb%3E&done=imported&known=-7").says("新しいトークン：0個", "そのままにしたもの：0個")
}

func TestTokenForms(t *testing.T) {
	for _, tt := range []struct {
		path   string
		fields []string
		err    error
		status int
		says   string
	}{
		{"/tokens/A0001/assign", nil, nil, 422, "ログイン名を入力"},
		{"/tokens/A0001/assign", []string{"login", "x<y"}, people.ErrNotFound, 422, `value="x&lt;y"`},
		{"/tokens/A0001/assign", []string{"login", "x"}, errors.Join(people.ErrNotFound, totp.ErrNoToken), 404, "お探しのページ"},
		{"/tokens/A0001/assign", []string{"login", "x"}, totp.ErrTokenState, 409, "この操作はできません"},
		{"/tokens/A0001/assign", []string{"login", "x"}, people.ErrUnusable, 409, "先に利用できる状態に"},
		{"/tokens/A0001/assign", []string{"login", "x"}, totp.ErrFull, 409, "登録できる数"},
		{"/tokens/A0002/resync", []string{"first", "111111"}, nil, 422, "二つ目のコードを入力"},
		{"/tokens/A0002/resync", []string{"second", "111111"}, nil, 422, "一つ目のコードを入力"},
		{"/tokens/A0002/resync", []string{"first", "111111", "second", "111 111"}, nil, 422, "二つのコードが同じ"},
		{"/tokens/A0002/resync", []string{"first", "111111", "second", "222222"}, totp.ErrWrong, 422, "続けて出したものではありません"},
		{"/tokens/A0002/resync", []string{"first", "111111", "second", "222222"}, totp.ErrResyncHeld, 429, "試した回数が多すぎます"},
	} {
		o := inOffice(newWorld(t))
		o.actErr = tt.err
		o.post(tt.path, tt.fields...).is(tt.status).says(tt.says).keepsSilentOn("111111", "222222")
		if asked := slices.ContainsFunc(o.did, func(s string) bool { return !strings.HasPrefix(s, "tokens ") }); asked != (tt.err != nil) {
			t.Errorf("%s %v: did %q", tt.path, tt.fields, o.did)
		}
	}
}
