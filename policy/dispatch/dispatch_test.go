package dispatch_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/dispatch"
)

var (
	issued = time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)
	text   = []byte("profile: standard\r\n\n# 方針\n\tzones: []\n\n  — not a signature\n")
)

func key(t testing.TB, origin string) *dispatch.Key {
	t.Helper()
	k, err := dispatch.CreateKey(filepath.Join(t.TempDir(), "keys", "export.key"), origin)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func header(origin string) dispatch.Header {
	return dispatch.Header{Origin: origin, Epoch: 1, Version: 12, Issued: issued, Expires: issued.Add(30 * 24 * time.Hour)}
}

func sign(t testing.TB, k *dispatch.Key) []byte {
	t.Helper()
	data, err := dispatch.Sign(k, header(k.Origin()), text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestWhatIsSignedIsBelieved(t *testing.T) {
	k := key(t, "sekisho.pref.example/lgwan")
	data := sign(t, k)
	if !dispatch.Is(data) || dispatch.Is(text[:20]) {
		t.Error("a signed policy is not told from a plain one")
	}
	d, err := dispatch.Open(data, []string{key(t, "other").PublicKey(), k.PublicKey()}, issued.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if d.Header != header(k.Origin()) || !bytes.Equal(d.Text, text) || d.Key != k.PublicKey() {
		t.Errorf("opened %+v", d)
	}
	if !bytes.HasSuffix(data, text) {
		t.Error("the text does not stand there as it is")
	}
}

// TestRefusals: each has its own kind and its own words in both languages.
func TestRefusals(t *testing.T) {
	k := key(t, "sekisho.pref.example")
	good := sign(t, k)
	with := func(old, new string) []byte {
		b := bytes.Replace(good, []byte(old), []byte(new), 1)
		if bytes.Equal(b, good) {
			t.Fatalf("nothing to exchange for %q", new)
		}
		return b
	}
	trail, err := audit.CreateKey(filepath.Join(t.TempDir(), "trail.key"), "sekisho.pref.example")
	if err != nil {
		t.Fatal(err)
	}
	in := issued.Add(time.Hour)
	for _, tt := range []struct {
		name    string
		data    []byte
		trusted []string
		at      time.Time
		want    string
	}{
		{"the text was changed", with("profile: standard", "profile: stand4rd"), nil, in, dispatch.Changed},
		{"something was added", append(bytes.Clone(good), "more: true\n"...), nil, in, dispatch.Changed},
		{"the version was raised", with("version 12", "version 13"), nil, in, dispatch.Stranger},
		{"the end was moved", with("expires 2027-05", "expires 2028-01"), nil, in, dispatch.Stranger},
		{"cut in the text", good[:len(good)-9], nil, in, dispatch.Cut},
		{"cut in the head", good[:60], nil, in, dispatch.Cut},
		{"the head alone", good[:bytes.Index(good, []byte("\n\n"))+2], nil, in, dispatch.Cut},
		{"the head was taken off", good[bytes.Index(good, []byte("\n— "))+1:], nil, in, dispatch.Malformed},
		{"nobody is trusted", good, []string{}, in, dispatch.Stranger},
		{"another is trusted", good, []string{key(t, "sekisho.pref.example").PublicKey()}, in, dispatch.Stranger},
		{"a key for something else is trusted", good, []string{trail.PublicKey()}, in, dispatch.Stranger},
		{"one who is trusted signs for another", with("origin sekisho.pref.example", "origin sekisho.town.example"), nil, in, dispatch.Stranger},
		{"after its end", good, nil, issued.Add(30 * 24 * time.Hour), dispatch.Ended},
		{"before its time", good, nil, issued.Add(-time.Hour), dispatch.Early},
		{"a later form", with("dispatch v1", "dispatch v2"), nil, in, dispatch.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trusted := tt.trusted
			if trusted == nil {
				trusted = []string{k.PublicKey()}
			}
			_, err := dispatch.Open(tt.data, trusted, tt.at)
			var f *dispatch.Fault
			if !errors.As(err, &f) || f.Kind != tt.want {
				t.Fatalf("Open = %v, want %s", err, tt.want)
			}
			if w := f.Says(); w.JA == "" || w.EN == "" {
				t.Error("it is not said in both languages")
			}
			if !dispatch.Is(tt.data) {
				t.Error("it would pass for a plain policy")
			}
		})
	}
}

// TestAKeySignsForItselfAlone also covers a head that its key would not write.
func TestAKeySignsForItselfAlone(t *testing.T) {
	k := key(t, "a.example")
	for name, change := range map[string]func(*dispatch.Header){
		"another's": func(h *dispatch.Header) { h.Origin = "b.example" },
		"for ever":  func(h *dispatch.Header) { h.Expires = h.Issued.AddDate(2, 0, 0) },
		"for never": func(h *dispatch.Header) { h.Expires = h.Issued },
	} {
		h := header("a.example")
		change(&h)
		if _, err := dispatch.Sign(k, h, text); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "export.key")
	k, err := dispatch.CreateKey(path, "a.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dispatch.CreateKey(path, "a.example"); err == nil {
		t.Error("a key was replaced")
	}
	again, err := dispatch.LoadKey(path)
	if err != nil || again.PublicKey() != k.PublicKey() || again.Origin() != "a.example" {
		t.Errorf("LoadKey = %v, %v", again, err)
	}
	if _, err := audit.CreateKey(path+".trail", "a.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := dispatch.LoadKey(path + ".trail"); err == nil {
		t.Error("the trail's key would sign policies")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := dispatch.LoadKey(path); err == nil {
		t.Error("a key that others can read was taken")
	}
	for name, tt := range map[string]struct {
		text string
		good bool
	}{
		"a key":        {"# 個人番号系\n" + k.PublicKey() + "\n", true},
		"none":         {"# nobody\n", false},
		"a trail's":    {strings.Replace(k.PublicKey(), "/policy", "", 1), false},
		"a misprint":   {k.PublicKey()[:40], false},
		"no file text": {"", false},
	} {
		file := filepath.Join(t.TempDir(), "trusted")
		if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := dispatch.ReadTrusted(file); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeysSucceedEachOther: while a key is being replaced both sign, and whoever trusts
// either believes; afterwards only the newer.
func TestKeysSucceedEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "export.key")
	old, err := dispatch.CreateKey(path, "a.example")
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no")
	if err := dispatch.AddKey(path, func(string) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("a key that nobody could account for: %v", err)
	}
	var told []string
	note := func(id string) error { told = append(told, id); return nil }
	if err := dispatch.AddKey(path, note); err != nil {
		t.Fatal(err)
	}
	both, err := dispatch.LoadKey(path)
	if err != nil || both.PublicKey() == old.PublicKey() || !slices.Equal(both.IDs(), append(old.IDs(), told...)) {
		t.Fatalf("%v, %v: %v", both, told, err)
	}
	believed := func(k *dispatch.Key, trusted string) bool {
		d, err := dispatch.Open(sign(t, k), []string{trusted}, header("a.example").Issued)
		return err == nil && d.Key == trusted
	}
	if !believed(both, old.PublicKey()) || !believed(both, both.PublicKey()) {
		t.Error("while both sign, one of them is not believed")
	}
	if err := dispatch.RemoveOld(path, note); err != nil {
		t.Fatal(err)
	}
	fresh, err := dispatch.LoadKey(path)
	if err != nil || fresh.PublicKey() != both.PublicKey() || !slices.Equal(told, []string{both.IDs()[1], old.IDs()[0]}) {
		t.Fatalf("%v, %v: %v", fresh, told, err)
	}
	if believed(fresh, old.PublicKey()) || !believed(fresh, fresh.PublicKey()) {
		t.Error("the key that was removed signs on")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// FuzzOpen: nothing that a stranger sends is believed, and what is believed is
// what was signed, letter by letter.
func FuzzOpen(f *testing.F) {
	k := key(f, "a.example")
	good, err := dispatch.Sign(k, header("a.example"), text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:100])
	f.Add([]byte("sekisho policy dispatch v1\n\n— a b\n\n"))
	f.Add(bytes.ReplaceAll(good, []byte("\n"), []byte("\n\n")))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := dispatch.Open(data, []string{k.PublicKey()}, issued.Add(time.Hour))
		if err == nil && !(bytes.Equal(d.Text, text) && d.Header == header("a.example")) {
			t.Errorf("believed %q", data)
		}
		if err == nil && !dispatch.Is(data) {
			t.Error("believed and taken for a plain policy")
		}
		if len(data) > policy.MaxFileBytes+(64<<10) && err == nil {
			t.Error("read without bound")
		}
	})
}
