package personnel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"sekisho/authz/authztest"
	"sekisho/policy"
)

func rules() *policy.Policy {
	p := authztest.Rules()
	p.Sections = []policy.Section{
		{ID: "soumu", Name: policy.Words{JA: "総務部", EN: "General Affairs"}}, {ID: "jinji", Name: policy.Words{JA: "人事課", EN: "Personnel"}, Parent: "soumu"},
		{ID: "zaisei", Name: policy.Words{JA: "財政課", EN: "Budget"}, Parent: "soumu"}, {ID: "joho", Name: policy.Words{JA: "情報システム課", EN: "Systems"}},
	}
	return p
}

func day(s string) time.Time {
	at, ok := Day(s)
	if !ok {
		panic(s)
	}
	return at
}

const someFile = "職員番号,氏名,カナ,所属,役割,区分,終了日,メール\n" +
	"1001,田中 美咲,タナカ ミサキ,人事課,情報セキュリティ管理者、情報システム管理者,職員,,tanaka@pref.example\n" +
	"1002,髙橋 昇,タカハシ ノボル,財政課,,会計年度任用職員,令和9年3月31日,\n"

// TestRead: what Excel writes is read alike in each of its characters.
func TestRead(t *testing.T) {
	t.Parallel()
	sjis, err := japanese.ShiftJIS.NewEncoder().String(someFile)
	if err != nil {
		t.Fatal(err)
	}
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(someFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"UTF-8": someFile, "with a mark": "\ufeff" + someFile, "Shift_JIS": sjis, "UTF-16": utf16, "CRLF": strings.ReplaceAll(someFile, "\n", "\r\n")} {
		t.Run(name, func(t *testing.T) {
			lines, err := Read(strings.NewReader(file), rules())
			if err != nil {
				t.Fatal(err)
			}
			if len(lines) != 2 {
				t.Fatalf("%d lines", len(lines))
			}
			a, b := lines[0], lines[1]
			if a.N != 2 || a.Number != "1001" || a.Name != "田中 美咲" || a.Section != "jinji" || a.Mail != "tanaka@pref.example" || a.Kind != Staff ||
				!slices.Equal(a.Posts, []policy.PostID{policy.SecurityManager, policy.SystemAdministrator}) {
				t.Errorf("%+v", a)
			}
			if b.Name != "髙橋 昇" || b.Kind != Appointed || !b.Ends.Equal(day("2027-03-31")) || b.Says("posts") || !a.Says("posts") {
				t.Errorf("%+v", b)
			}
		})
	}
}

// TestBadLines: each thing that is wrong is named by its line, its field and its rule,
// and nothing is taken.
func TestBadLines(t *testing.T) {
	t.Parallel()
	const head = "number,name,login,section,posts,concurrent,kind,change,company,prime,owner,starts,ends,mail,leave_from,leave_until,handover\n"
	for _, tt := range []struct{ name, file, want string }{
		{"nothing", "", "1 file header"},
		{"nobody", head, "1 file empty"},
		{"an unknown column", "number,name,血液型\n", "1 file column"},
		{"a column twice", "number,職員番号,name\n", "1 number twice"},
		{"no numbers", "name\n田中\n", "1 number required"},
		{"no name", head + "1,,,jinji", "2 name required"},
		{"no number", head + ",田中,,jinji", "2 number required"},
		{"too many columns", "number,name\n1,田中,x\n", "2 file columns"},
		{"quotation", "number,name\n1,\"田中\n", "2 file csv"},
		{"a line break", head + "1,\"田\n中\"", "2 name characters"},
		{"too long", head + "1," + strings.Repeat("長", 201), "2 name characters"},
		{"a login", head + "1,田中,a=b,jinji", "2 login characters"},
		{"a section", head + "1,田中,,無い課", "2 section unknown"},
		{"a post", head + "1,田中,,jinji,知事", "2 posts unknown"},
		{"a kind", head + "1,田中,,jinji,,,客", "2 kind unknown"},
		{"a change", head + "1,田中,,jinji,,,,消滅", "2 change unknown"},
		{"a concurrent section of one's own", head + "1,田中,,jinji,,jinji", "2 concurrent own_section"},
		{"a concurrent section", head + "1,田中,,jinji,,無い課", "2 concurrent unknown"},
		{"a day", head + "1,田中,,jinji,,,,,,,,,4月1日", "2 ends date"},
		{"an end before the beginning", head + "1,田中,,jinji,,,,,,,,2026-04-01,2026-03-31", "2 ends order"},
		{"a mistyped year", head + "1,田中,,jinji,,,,,,,,2026-04-01,2126-03-31", "2 ends far"},
		{"an address", head + "1,田中,,jinji,,,,,,,,,,tanaka", "2 mail address"},
		{"leave without a beginning", head + "1,田中,,jinji,,,,,,,,,,,,2026-05-01", "2 leave_from required"},
		{"leave that ends before", head + "1,田中,,jinji,,,,,,,,,,,2026-05-02,2026-05-01", "2 leave_until order"},
		{"a handover of nothing", head + "1,田中,,,,,,,,,,,,,,,2026-05-01", "2 handover alone"},
		{"a contractor of no company", head + "1,田中,,jinji,,,contractor,,,,,,2027-03-31", "2 company required"},
		{"a contractor without an end", head + "1,田中,,jinji,,,contractor,,例電算", "2 ends required"},
		{"a subcontractor of nobody", head + "1,田中,,jinji,,,subcontractor,,例電算,,,,2027-03-31", "2 prime required"},
		{"an appointment without an end", head + "1,田中,,jinji,,,appointed", "2 ends required"},
		{"a shared ID of nobody", head + ",窓口,mado,jinji,,,shared", "2 owner required"},
		{"a shared ID that decides", head + ",窓口,mado,jinji,cio,,shared,,,,1", "2 posts nobody"},
		{"a program without a login", head + ",夜間処理,,jinji,,,service,,,,1", "2 login required"},
		{"a person twice", head + "１,田中,,jinji\n1,田中,,zaisei", "3 number twice"},
		{"an address twice", head + "1,田中,,jinji,,,,,,,,,,a@pref.example\n2,鈴木,,jinji,,,,,,,,,,A@pref.example", "3 mail twice"},
		{"a login twice", head + "1,田中,tanaka,jinji\n2,鈴木,Ｔanaka,jinji", "3 login twice"},
		{"characters that nobody knows", "number,name\n1,\x80\xff\xfe\n", "1 file encoding"},
		{"a program", "\x7fELF\x00", "1 file encoding"},
		{"two at once", head + "1,田中,,無い課\n2,鈴木,,jinji,,,客", "2 section unknown,3 kind unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines, err := Read(strings.NewReader(tt.file), rules())
			var faults Faults
			if !errors.As(err, &faults) || lines != nil {
				t.Fatalf("taken: %d lines, %v", len(lines), err)
			}
			var got []string
			for _, f := range faults {
				got = append(got, fmt.Sprintf("%d %s %s", f.Line, f.Field, f.Rule))
				if f.Says.JA == "" || f.Says.EN == "" || !strings.Contains(f.Text(rules().Personnel, "ja"), fmt.Sprint(f.Line)) {
					t.Errorf("%+v says nothing", f)
				}
			}
			if strings.Join(got, ",") != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}

// TestColumnsOfThePolicy: the prefecture's own names count in the place of ours, and
// faults are told by them.
func TestColumnsOfThePolicy(t *testing.T) {
	t.Parallel()
	p := rules()
	p.Personnel.Columns = []policy.PersonnelColumn{{Field: "number", Headers: []string{"職員コード"}}, {Field: "section", Headers: []string{"新所属"}}}
	lines, err := Read(strings.NewReader("職員コード,氏名,新 所属\n7,田中,人事課\n"), p)
	if err != nil || lines[0].Number != "7" || lines[0].Section != "jinji" {
		t.Errorf("%+v %v", lines, err)
	}
	_, err = Read(strings.NewReader("職員番号,氏名\n7,田中\n"), p)
	var faults Faults
	if !errors.As(err, &faults) || !strings.Contains(faults.Text(p.Personnel, "ja"), "職員コード: この列がありません") {
		t.Errorf("%v", err)
	}
}

func TestDay(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 3, 31, 15, 0, 0, 0, time.UTC) // midnight in Japan
	for _, v := range []string{"2026-04-01", "2026/4/1", "２０２６／４／１", "20260401", "R8.4.1", "R8/4/1", "令和8年4月1日", "2026年4月1日", "2026.4.1"} {
		if at, ok := Day(v); !ok || !at.Equal(want) {
			t.Errorf("%s: %v %t", v, at, ok)
		}
	}
	if at, ok := Day("令和元年5月1日"); !ok || !at.Equal(day("2019-05-01")) {
		t.Errorf("the first year: %v", at)
	}
	for _, v := range []string{"", "4/1", "2026-02-30", "R0.1.1", "R", "令和", "0001-01-01", "26-04-01", "45017", "R8"} {
		if at, ok := Day(v); ok {
			t.Errorf("%q is %v", v, at)
		}
	}
	if After(day("2026-03-31")) != want {
		t.Error("the day after the last of March is not the first of April")
	}
}

// FuzzRead: a stranger's file is read or refused, and what is read is whole.
func FuzzRead(f *testing.F) {
	for _, s := range []string{someFile, "number,name\n1,田中\n", "\ufeffnumber,name,ends\n'1,=x,R8.4.1", "number,name\n\"1\"\"\",\x83\x5c\n", "番号,氏名,区分,管理者,ID\n,窓口,共用,1,mado"} {
		f.Add([]byte(s))
	}
	p := rules()
	f.Fuzz(func(t *testing.T, file []byte) {
		lines, err := Read(strings.NewReader(string(file)), p)
		var faults Faults
		switch {
		case err != nil:
			if !errors.As(err, &faults) || len(faults) == 0 || len(faults) > MostFaults || lines != nil {
				t.Fatalf("%v", err)
			}
			for _, fault := range faults {
				if fault.Line < 1 || fault.Field == "" || fault.Rule == "" || fault.Says.IsEmpty() {
					t.Fatalf("%+v", fault)
				}
			}
		case len(lines) == 0:
			t.Fatal("nobody, and no fault")
		}
		for _, l := range lines {
			if l.Name == "" || l.Number == "" && !l.ofNobody() || strings.ContainsAny(l.Login, ",=") {
				t.Fatalf("%+v", l)
			}
		}
	})
}
