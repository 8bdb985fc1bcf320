package oath_test

import (
	"bytes"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/totp/oath"
	"sekisho/policy/secret"
)

const (
	hexSeed    = "3132333435363738393031323334353637383930" // RFC 6238 appendix B
	base32Seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
)

var seed = []byte("12345678901234567890")

// faults are what the error lists, as "line field rule".
func faults(t *testing.T, err error) []string {
	t.Helper()
	var f *oath.Faults
	if !errors.As(err, &f) || len(f.List) == 0 {
		t.Fatalf("the error is %v, want faults", err)
	}
	var list []string
	for _, one := range f.List {
		if one.Detail.JA == "" || one.Detail.EN == "" {
			t.Errorf("%s has no words in both languages", one.Text("en"))
		}
		list = append(list, fmt.Sprintf("%d %s %s", one.Line, one.Field, one.Rule))
	}
	return list
}

func same(t *testing.T, got, want []oath.Seed) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d seeds, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if !bytes.Equal(g.Key.Reveal(), w.Key.Reveal()) {
			t.Errorf("the key of %s is another", w.Serial)
		}
		g.Key, w.Key = secret.Text{}, secret.Text{}
		if fmt.Sprint(g) != fmt.Sprint(w) {
			t.Errorf("%+v, want %+v", g, w)
		}
	}
}

func TestParseCSV(t *testing.T) {
	key := secret.NewText(seed)
	plain := oath.Seed{Serial: "A-1", Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Key: key}
	full := oath.Seed{Serial: "A-1", Maker: "製造社, Ltd", Algorithm: "SHA256", Digits: 8, Period: time.Minute, Key: key}
	for _, tt := range []struct {
		name, file string
		want       oath.Seed
	}{
		{"the least", "serial,seed\nA-1," + hexSeed + "\n", plain},
		{"base32", "serial,seed\nA-1," + base32Seed + "\n", plain},
		{"small letters", "serial,seed\na-1," + strings.ToLower(base32Seed) + "\n", plain},
		{"hexadecimal by name", "serial,seed_hex\nA-1," + hexSeed + "\n", plain},
		{"base32 by name", "serial,secret_base32\nA-1," + base32Seed + "\n", plain},
		{"no line end", "serial,seed\nA-1," + hexSeed, plain},
		{"byte order mark and CRLF", "\ufeffserial,seed\r\nA-1," + hexSeed + "\r\n", plain},
		{"every column, any order", "digits,seed,period,serial,algorithm,manufacturer,type\n8," + hexSeed +
			`,60,A-1,HMAC-SHA-256,"製造社, Ltd",totp` + "\n", full},
		{"empty cells are the defaults", "serial,seed,manufacturer,algorithm,digits,period,type\nA-1," + hexSeed + ",,,,,\n", plain},
		{"as makers write it", "upn,serial number,secret key,time interval,manufacturer,model\n,A-1," + base32Seed + ",30,,C200\n", plain},
		{"capitals and full width in the header", "SERIAL_NO, Ｓｅｅｄ\nA-1," + hexSeed + "\n", plain},
		{"spaces around, and quotes", "serial,seed\n  \"A-1\",  " + hexSeed + " \n", plain},
		{"full-width serial in groups", "serial,seed\nＡ － １," + hexSeed + "\n", plain},
		{"empty lines and lines of commas", "serial,seed\n\nA-1," + hexSeed + "\n,\n\n", plain},
		{"padded base32", "serial,seed\nA-1," + base32.StdEncoding.EncodeToString(seed[:17]) + "\n",
			oath.Seed{Serial: "A-1", Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Key: secret.NewText(seed[:17])}},
		// Digits from 2 to 7 and letters to F: only the column's name can tell.
		{"either, by its name hexadecimal", "serial,seed_hex\nA-1," + strings.Repeat("A2", 16) + "\n",
			oath.Seed{Serial: "A-1", Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Key: secret.NewText(bytes.Repeat([]byte{0xa2}, 16))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := oath.ParseCSV([]byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, []oath.Seed{tt.want})
		})
	}
}

func TestParseCSVRefuses(t *testing.T) {
	other := hex.EncodeToString([]byte("another twenty bytes"))
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"nothing", "", []string{"0 file empty"}},
		{"a header alone", "serial,seed\n", []string{"0 file empty"}},
		{"no header", "A-1," + hexSeed + "\nA-2," + other, []string{"1 header unknown", "1 header unknown", "1 header missing", "1 header missing"}},
		{"no serial", "seed\n" + hexSeed, []string{"1 header missing"}},
		{"no seed", "serial,digits\nA-1,6", []string{"1 header missing"}},
		{"a misspelt column", "serial,seed,algoritm\nA-1," + hexSeed + ",SHA256", []string{"1 header unknown"}},
		{"two seeds", "serial,seed_hex,secret\nA-1," + hexSeed + "," + base32Seed, []string{"1 header duplicate"}},
		{"two serials", "serial,serial number,seed\nA-1,A-1," + hexSeed, []string{"1 header duplicate"}},
		{"another separator", "serial;seed\nA-1;" + hexSeed, []string{"1 header unknown", "1 header missing", "1 header missing"}},

		{"every line is listed", "serial,seed,manufacturer,algorithm,digits,period,type\n" +
			"A/1," + hexSeed + ",,,,,\n" +
			"A-2," + other + ",,MD5,7,45,hotp\n" +
			",,\u202egnp,,,,yubikey\n" +
			"A-4\n",
			[]string{"2 serial invalid", "3 algorithm invalid", "3 digits invalid", "3 period invalid", "3 type hotp",
				"4 serial missing", "4 manufacturer invalid", "4 type unsupported", "4 seed missing", "5 file columns"}},
		{"lines are those of the file", "serial,seed\r\n\r\n\"A-1\r\n\",zz00\r\nA-2,00\r\n",
			[]string{"1 header mixed"}},
		{"lines behind quoted line ends", "serial,seed_hex\r\n\r\n\"A-1\r\n\",0g\r\nA-2,00\r\n",
			[]string{"3 seed invalid", "5 seed length"}},

		{"seeds of both kinds", "serial,seed\nA-1," + hexSeed + "\nA-2," + base32Seed, []string{"1 header mixed"}},
		{"seeds of either kind", "serial,seed\nA-1," + strings.Repeat("A2", 16), []string{"1 header ambiguous"}},
		{"seeds of no kind", "serial,seed\nA-1,0x" + hexSeed, []string{"1 header mixed"}},
		{"an odd number of digits", "serial,seed\nA-1," + hexSeed[1:], []string{"2 seed invalid"}},
		{"base32 that is hexadecimal", "serial,seed_base32\nA-1," + hexSeed, []string{"2 seed invalid"}},
		{"left-over bits", "serial,seed\nA-1," + base32Seed[:25] + "7", []string{"2 seed invalid"}},
		{"half a padding", "serial,seed\nA-1," + base32.StdEncoding.EncodeToString(seed[:17])[:31], []string{"2 seed invalid"}},
		{"15 bytes", "serial,seed\nA-1," + hexSeed[:30], []string{"2 seed length"}},
		{"65 bytes", "serial,seed\nA-1," + strings.Repeat("00", 65), []string{"2 seed length"}},
		{"a seed in groups", "serial,seed\nA-1," + hexSeed[:20] + " " + hexSeed[20:], []string{"2 seed invalid"}},

		{"a serial twice", "serial,seed\nA-1," + hexSeed + "\na - 1," + other, []string{"3 serial duplicate"}},
		{"a seed twice", "serial,seed\nA-1," + hexSeed + "\nA-2," + strings.ToUpper(hexSeed), []string{"3 seed duplicate"}},
		{"twice of a bad line", "serial,seed,digits\nA-1," + hexSeed + ",7\nA-1," + hexSeed + ",6",
			[]string{"2 digits invalid", "3 serial duplicate", "3 seed duplicate"}},

		{"a long serial", "serial,seed\n" + strings.Repeat("A", 65) + "," + hexSeed, []string{"2 serial invalid"}},
		{"a serial of dots", "serial,seed\n..," + hexSeed, []string{"2 serial invalid"}},
		{"a serial in Japanese", "serial,seed\n番号1," + hexSeed, []string{"2 serial invalid"}},
		{"a long maker", "serial,seed,maker\nA-1," + hexSeed + "," + strings.Repeat("電", 65), []string{"2 manufacturer invalid"}},
		{"a quotation mark inside", "serial,seed\nA\"1," + hexSeed + "\nA-2,00", []string{"2 file syntax", "3 seed length"}},
		{"a quotation mark left open", "serial,seed\n\"A-1," + hexSeed + "\nA-2,00", []string{"2 file syntax"}},
		{"Shift_JIS", "serial,seed,maker\nA-1," + hexSeed + ",\x93\x64\nA-2," + other + ",\x93\x64", []string{"2 file encoding", "3 file encoding"}},
		{"a long line", "serial,seed\nA-1," + hexSeed + ",", []string{"2 file columns"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seeds, err := oath.ParseCSV([]byte(tt.file))
			if got := faults(t, err); !slices.Equal(got, tt.want) || seeds != nil {
				t.Errorf("%d seeds and faults %q, want %q", len(seeds), got, tt.want)
			}
		})
	}
}

// TestCSVLimits: 20,000 tokens and a mebibyte are taken, and not one more.
func TestCSVLimits(t *testing.T) {
	var file strings.Builder
	file.WriteString("serial,seed\n")
	for i := range oath.MaxSeeds {
		fmt.Fprintf(&file, "%d,%032x\n", i, i)
	}
	got, err := oath.ParseCSV([]byte(file.String()))
	if err != nil || len(got) != oath.MaxSeeds {
		t.Fatalf("%d seeds, %v", len(got), err)
	}
	_, err = oath.ParseCSV([]byte(file.String() + "one more," + hexSeed))
	if got := faults(t, err); !slices.Equal(got, []string{"20002 file too_many"}) {
		t.Errorf("one more: %q", got)
	}

	full := "serial,seed\nA-1," + hexSeed + "\n"
	full += strings.Repeat("\n", oath.MaxFile-len(full))
	if _, err := oath.ParseCSV([]byte(full)); err != nil {
		t.Errorf("a mebibyte: %v", err)
	}
	_, err = oath.ParseCSV([]byte(full + "\n"))
	if got := faults(t, err); !slices.Equal(got, []string{"0 file too_large"}) {
		t.Errorf("a byte more: %q", got)
	}
}

// TestFaultsTell: where and what, in both languages, and nothing of the file.
func TestFaultsTell(t *testing.T) {
	const canary = "canary0g189canary"
	_, err := oath.ParseCSV([]byte("serial,seed_hex,maker,algorithm,digits,period,type\n" +
		strings.Repeat(canary+"/,", 2) + canary + "\t" + strings.Repeat("x", 99) + strings.Repeat(","+canary, 4) + "\n" + canary))
	var f *oath.Faults
	if !errors.As(err, &f) {
		t.Fatal(err)
	}
	all := f.Text("ja") + f.Text("en") + f.Error()
	if strings.Contains(strings.ToLower(all), "canary") {
		t.Errorf("the faults repeat the file: %s", all)
	}
	_, err = oath.ParseCSV([]byte(canary + "," + canary + "\n"))
	if all := err.Error(); strings.Contains(all, "canary") {
		t.Errorf("the faults repeat the header, which may be a seed: %s", all)
	}
	for text, want := range map[string]string{
		f.List[0].Text("ja"): "2行目: serial: 製造番号は", f.List[0].Text("en"): "line 2: serial: A serial number",
		f.Error():    fmt.Sprintf("line 2: serial: A serial number has 1 to 64 letters, digits and . _ -, and begins with a letter or digit. (and %d more)", len(f.List)-1),
		f.Text("en"): "\nline 3: file: The line has not",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	one := &oath.Faults{List: []oath.Fault{{Field: "key"}}}
	if one.Error() != "key: " {
		t.Errorf("a fault of the whole file: %q", one.Error())
	}
}

func TestSerial(t *testing.T) {
	for typed, want := range map[string]string{
		"2600124809778": "2600124809778", "306euo4-00960": "306EUO4-00960", " 26 00 ": "2600", "２６００－１": "2600-1",
		"a.b_c-d": "A.B_C-D", strings.Repeat("9", 64): strings.Repeat("9", 64),
		"": "", " ": "", "-1": "", ".": "", "a/b": "", "a\x00b": "", "a\u200bb": "", "あ": "", "a\xff": "",
		strings.Repeat("9", 65): "", "9" + strings.Repeat(" ", 1000): "",
	} {
		got, ok := oath.Serial(typed)
		if ok != (want != "") || ok && got != want {
			t.Errorf("Serial(%q) = %q, %v, want %q", typed, got, ok, want)
		}
	}
}

func TestCheck(t *testing.T) {
	good := oath.Seed{Serial: "A-1", Maker: "製造社", Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Key: secret.NewText(seed)}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*oath.Seed){
		"zero":              func(s *oath.Seed) { *s = oath.Seed{} },
		"no serial":         func(s *oath.Seed) { s.Serial = "" },
		"another spelling":  func(s *oath.Seed) { s.Serial = "a-1" },
		"maker":             func(s *oath.Seed) { s.Maker = "a\nb" },
		"no algorithm":      func(s *oath.Seed) { s.Algorithm = "" },
		"unknown algorithm": func(s *oath.Seed) { s.Algorithm = "MD5" },
		"7 digits":          func(s *oath.Seed) { s.Digits = 7 },
		"no period":         func(s *oath.Seed) { s.Period = 0 },
		"no key":            func(s *oath.Seed) { s.Key = secret.Text{} },
		"short key":         func(s *oath.Seed) { s.Key = secret.NewText(seed[:15]) },
		"long key":          func(s *oath.Seed) { s.Key = secret.NewText(make([]byte, 65)) },
	} {
		s := good
		spoil(&s)
		if s.Check() == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

// FuzzParseCSV: whatever a stranger sends, the answer is good seeds or faults,
// and the seeds written out again are read as the same.
func FuzzParseCSV(f *testing.F) {
	f.Add([]byte("serial,seed\nA-1," + hexSeed + "\n"))
	f.Add([]byte("\ufeffupn,serial number,secret key,time interval,manufacturer,model\r\n,1," + base32Seed + ",60,\"a, b\",x\r\n"))
	f.Add([]byte("serial,seed_hex,algorithm,digits,type\n1," + hexSeed + ",sha-512,8,totp\n2,zz,,,\n\"\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		seeds, err := oath.ParseCSV(file)
		sound(t, seeds, err)
		if err != nil {
			return
		}
		var again strings.Builder
		again.WriteString("serial,seed_base32,maker,algorithm,digits,period\n")
		for _, s := range seeds {
			fmt.Fprintf(&again, "%s,%s,\"%s\",%s,%d,%d\n", s.Serial, base32.StdEncoding.EncodeToString(s.Key.Reveal()),
				strings.ReplaceAll(s.Maker, `"`, `""`), s.Algorithm, s.Digits, s.Period/time.Second)
		}
		if again.Len() > oath.MaxFile {
			return
		}
		back, err := oath.ParseCSV([]byte(again.String()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, again.String())
		}
		same(t, back, seeds)
	})
}

// sound is what holds for every answer of a parser.
func sound(t *testing.T, seeds []oath.Seed, err error) {
	t.Helper()
	if err != nil {
		faults(t, err)
		if seeds != nil {
			t.Error("seeds beside faults")
		}
		return
	}
	if len(seeds) == 0 {
		t.Error("neither seeds nor faults")
	}
	serials, keys := map[string]bool{}, map[string]bool{}
	for _, s := range seeds {
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", s.Serial, err)
		}
		if serials[s.Serial] || keys[string(s.Key.Reveal())] {
			t.Errorf("%s is there twice", s.Serial)
		}
		serials[s.Serial], keys[string(s.Key.Reveal())] = true, true
	}
}
