package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sekisho/policy"
)

var at = time.Date(2026, 3, 1, 18, 0, 0, 123456789, time.FixedZone("JST", 9*3600))

func TestEncodeIsCanonical(t *testing.T) {
	full := Entry{
		Time: at, Actor: "田中", Action: "lease.activated", Object: "l1", Outcome: Refused, Reason: "<夜間>&",
		Articles: []policy.Article{"62-7", "16"}, From: "10.1.0.5", RequestID: "r1", Zone: "lgwan", Terminal: "t1", Case: "c1",
		Detail: map[string]string{"b": "2", "a": "1"},
	}
	const want = `{"time":"2026-03-01T09:00:00.123456Z","actor":"田中","action":"lease.activated","object":"l1","outcome":"refused","reason":"<夜間>&","articles":["62-7","16"],"from":"10.1.0.5","request_id":"r1","zone":"lgwan","terminal":"t1","case":"c1","detail":{"a":"1","b":"2"}}`
	for range 20 { // a map would show itself
		got, err := encode(full)
		if err != nil || string(got) != want {
			t.Fatalf("encode = %s, %v; want %s", got, err, want)
		}
	}
	back, err := decode([]byte(want))
	full.Time = full.Time.UTC().Truncate(time.Microsecond)
	if err != nil || !reflect.DeepEqual(back, full) {
		t.Errorf("decode = %+v, %v", back, err)
	}
	got, err := encode(Entry{Time: at, Action: "a.b"})
	if want := `{"time":"2026-03-01T09:00:00.123456Z","actor":"unknown","action":"a.b","object":"","outcome":"ok","reason":"","articles":[],"from":"","request_id":""}`; err != nil || string(got) != want {
		t.Errorf("encode of the least = %s, %v", got, err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, e := range map[string]Entry{
		"no action":       {Time: at},
		"no time":         {Action: "a.b"},
		"made-up outcome": {Time: at, Action: "a.b", Outcome: "fine"},
	} {
		if _, err := encode(e); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStrangersText: what a stranger types as a login ends up on the trail, and
// must neither begin a line nor move the cursor of who reads it.
func TestStrangersText(t *testing.T) {
	for name, s := range map[string]string{
		"line feed":           "a\nb",
		"carriage return":     "a\r\n{\"index\": 0}",
		"escape sequence":     "a\x1b[2Jb",
		"C1 escape":           "a\u009b2Jb",
		"delete":              "a\x7fb",
		"nul":                 "a\x00b",
		"line separator":      "a\u2028b",
		"turned round":        "a\u202egnp.exe",
		"zero width":          "a\u200bb",
		"byte order mark":     "\ufeffa",
		"beyond the plane":    "a\U000e0041b",
		"quotes and slashes":  `a"\b`,
		"not UTF-8":           "a\xff\xfeb",
		"half a surrogate":    "a\xed\xa0\x80b",
		"replacement on hand": "a\ufffdb",
	} {
		data, err := encode(Entry{Time: at, Actor: s, Action: "a.b", Detail: map[string]string{s: s}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, r := range string(data) {
			if r < 0x20 || unseen(r) {
				t.Errorf("%s: %q is on the trail bare", name, r)
			}
		}
		back, err := decode(data)
		if want := strings.ToValidUTF8(s, "\uFFFD"); err != nil || back.Actor != want || back.Detail[want] != want {
			t.Errorf("%s: read back as %q, %v; want %q", name, back.Actor, err, want)
		}
	}
}

func TestLongTextIsCutAndSaysSo(t *testing.T) {
	e := Entry{Time: at, Actor: strings.Repeat("関", 200), Action: "a.b", Reason: strings.Repeat("a", 5000)}
	data, err := encode(e)
	if err != nil {
		t.Fatal(err)
	}
	back, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("関", 85) + "…[345 bytes cut]"; back.Actor != want {
		t.Errorf("actor %q", back.Actor)
	}
	if want := strings.Repeat("a", 2048) + "…[2952 bytes cut]"; back.Reason != want {
		t.Errorf("reason %q", back.Reason)
	}
}

// TestWorstEntryFits: everything full of what takes most room.
func TestWorstEntryFits(t *testing.T) {
	for _, filler := range []string{"\x01", "\U000e0041", "\xff", "a", "関"} {
		long := strings.Repeat(filler, 10_000)
		e := Entry{
			Time: at, Actor: long, Action: long, Object: long, Reason: long, From: long, RequestID: long,
			Zone: long, Terminal: long, Case: long, Detail: map[string]string{},
		}
		for i := range 200 {
			e.Articles = append(e.Articles, policy.Article(long))
			e.Detail[fmt.Sprintf("%03d", i)+long] = long
		}
		data, err := encode(e)
		if err != nil {
			t.Errorf("%q: %v", filler, err)
			continue
		}
		if len(data) > MaxEntry || !json.Valid(data) || !utf8.Valid(data) {
			t.Errorf("%q: %d bytes, valid %v", filler, len(data), json.Valid(data))
		}
		again, err := encode(e)
		if err != nil || string(again) != string(data) {
			t.Errorf("%q: two spellings of one entry", filler)
		}
	}
}

// TestEntryHasNoPlaceForSecrets: every field is plain, named text. A field that
// took anything at all would one day take a password.
func TestEntryHasNoPlaceForSecrets(t *testing.T) {
	for f := range reflect.TypeFor[Entry]().Fields() {
		switch f.Type {
		case reflect.TypeFor[string](), reflect.TypeFor[time.Time](), reflect.TypeFor[[]policy.Article](), reflect.TypeFor[map[string]string]():
		default:
			t.Errorf("field %s is a %s", f.Name, f.Type)
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("tanaka", "reason", "key", "value")
	f.Add("\x1b[2J\n", "\xff", "\u202e", strings.Repeat("\x01", 9000))
	f.Fuzz(func(t *testing.T, actor, reason, key, value string) {
		data, err := encode(Entry{Time: at, Actor: actor, Action: "a.b", Reason: reason, Detail: map[string]string{key: value}})
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > MaxEntry || !json.Valid(data) {
			t.Fatalf("%d bytes: %s", len(data), data)
		}
		agrees(t, data)
		for _, r := range string(data) {
			if r < 0x20 || unseen(r) {
				t.Fatalf("%q is on the trail bare", r)
			}
		}
		back, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		again, err := encode(back)
		if err != nil {
			t.Fatal(err)
		}
		// What needed no cutting reads back as it was written.
		if len(actor) <= maxShort/3 && len(reason) <= maxLong/6 && len(key) <= maxKey/3 && len(value) <= maxLong/6 && string(again) != string(data) {
			t.Fatalf("%s\nread back is\n%s", data, again)
		}
	})
}

// TestDecodePlainAgrees: the short way reads what the long way reads, and never
// accepts more. Each entry is also given with every byte changed, dropped and
// doubled, as somebody with the database in hand might have it.
func TestDecodePlainAgrees(t *testing.T) {
	entries := []Entry{
		{},
		{Actor: "田中", Object: "a/b", Reason: "理由", Articles: []policy.Article{"62-1"}, From: "10.1.0.5", RequestID: "r-1"},
		{Articles: []policy.Article{"62-1", "79-3(13)"}, Zone: "lgwan", Terminal: "t-1", Case: "2026-7", Outcome: Refused, Detail: map[string]string{"b": "2", "a": "1"}},
		{Case: "c", Detail: map[string]string{"k": ""}},
	}
	for _, e := range entries {
		e.Time, e.Action = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC), "x.y"
		data, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := decodePlain(data); !ok {
			t.Errorf("%s is read the long way", data)
		}
		agrees(t, data)
		for i := range data {
			for _, with := range []string{"", " ", "\"", "\\", ",", "{", "}", "[", "]", ":", "\x00", "\x7f", "\xff", "\n", "é", "0", "Z", string(data[i]) + string(data[i]), "\",\"zone\":\"", "\":\"\",\"a"} {
				agrees(t, slices.Concat(data[:i], []byte(with), data[i+1:]))
				agrees(t, slices.Concat(data[:i], []byte(with), data[i:]))
			}
			agrees(t, data[:i])
		}
	}
	escaped, err := encode(Entry{Time: time.Unix(1, 0), Action: "x.y", Reason: `a "quote"`})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := decodePlain(escaped); ok {
		t.Error("an escape was read the short way")
	}
	if e, err := decode(escaped); err != nil || e.Reason != `a "quote"` {
		t.Errorf("decode = %+v, %v", e, err)
	}
}

func agrees(t *testing.T, data []byte) {
	t.Helper()
	short, ok := decodePlain(data)
	if !ok {
		return
	}
	long, err := decodeJSON(data)
	if err != nil || !reflect.DeepEqual(short, long) {
		t.Fatalf("%q: the short way reads %+v, the long way %+v, %v", data, short, long, err)
	}
}
