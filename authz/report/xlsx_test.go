package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"sekisho/policy"
)

func TestLetters(t *testing.T) {
	t.Parallel()
	for column, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 51: "AZ", 52: "BA", 701: "ZZ", 702: "AAA"} {
		if got := letters(column); got != want {
			t.Errorf("column %d is %s, want %s", column, got, want)
		}
	}
}

// TestCells: what another reader of workbooks finds in each kind of cell is what was
// written there, whatever a text holds.
func TestCells(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("關", mostText+1)
	at := time.Date(2026, 3, 31, 15, 5, 9, 0, time.UTC)
	for _, tt := range []struct {
		cell any
		want string
	}{
		{"鈴木 <a> & \"b\"", "鈴木 <a> & \"b\""}, {" spaced ", " spaced "}, {"two\nlines", "two\nlines"}, {"=1+1", "=1+1"}, {"", ""}, {nil, ""},
		{"bell\x07", "bell\ufffd"}, {"\xff", "\ufffd"}, {long, long[:len("關")*mostText]},
		{42, "42"}, {int64(-1), "-1"}, {0.25, "0.25"}, {Figure{N: 7}, "7"}, {Coded{Says: "見た", Code: "seen"}, "見た"}, {Ref{Says: "tanaka", ID: "1"}, "tanaka"},
		{time.Time{}, ""}, {at, "2026-04-01 00:05"},
	} {
		r := Report{Sheets: []Sheet{
			{Name: policy.Words{JA: "一", EN: "A & B"}, Columns: []Column{{Says: policy.Words{JA: "欄", EN: "<Column>"}}}},
			{Name: policy.Words{JA: "二", EN: "Two"}, Columns: []Column{{Says: policy.Words{EN: "x"}}, {Says: policy.Words{EN: "y"}}}, Rows: [][]any{{"first", tt.cell}}},
		}}
		var b bytes.Buffer
		if err := r.WriteXLSX(&b, "en"); err != nil {
			t.Fatal(err)
		}
		f, err := excelize.OpenReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.GetSheetList(); len(got) != 3 || got[0] != "About" || got[1] != "A & B" || got[2] != "Two" {
			t.Errorf("sheets %q", got)
		}
		if got, err := f.GetColWidth("Two", "B"); err != nil || got != columnWidth {
			t.Errorf("a column is %v wide, %v", got, err)
		}
		if got, err := f.GetCellValue("A & B", "A1"); err != nil || got != "<Column>" {
			t.Errorf("head %q %v", got, err)
		}
		if got, err := f.GetCellValue("Two", "B2"); err != nil || got != tt.want {
			t.Errorf("%#v reads %.40q, want %.40q (%v)", tt.cell, got, tt.want, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	full := Report{Sheets: []Sheet{{Rows: make([][]any, mostRows)}}}
	if err := full.WriteXLSX(&bytes.Buffer{}, "en"); err == nil || !strings.Contains(err.Error(), "1,048,576") {
		t.Errorf("a sheet that is too long: %v", err)
	}
}
