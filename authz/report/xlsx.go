package report

import (
	"archive/zip"
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"sekisho/policy"
)

// A workbook is a zip of a few files (ECMA-376, part 1, sections 12.3 and 18.3). They are
// written here, a row at a time: a library for it reads templates and compiles patterns
// whenever the process starts, ten milliseconds that nobody asked for.

// Bounds of a sheet (ECMA-376, part 1, section 18.3.1.73, and Excel's own).
const (
	mostRows = 1 << 20
	mostText = 32767 // UTF-16 units in a cell
)

// columnWidth is in characters (section 18.3.1.13).
const columnWidth = 18

// The styles of cells, by their place in styles.xml.
const (
	plainCell = iota
	boldCell
	datedCell
)

const xmlHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"

const spreadsheet = `http://schemas.openxmlformats.org/spreadsheetml/2006/main`

var styles = xmlHead + `<styleSheet xmlns="` + spreadsheet + `">` +
	`<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd\ hh:mm"/></numFmts>` +
	`<fonts count="2"><font><sz val="11"/><name val="Yu Gothic"/></font><font><b/><sz val="11"/><name val="Yu Gothic"/></font></fonts>` +
	`<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>` +
	`<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>` +
	`<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>` +
	`<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>` +
	`<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>` +
	`<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>` +
	`<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>`

// about is the sheet that says what the others are of: which report, what time, which
// articles, and its notes.
func (r Report) about(lang string) Sheet {
	row := func(ja, en, says string) []any { return []any{policy.Words{JA: ja, EN: en}.In(lang), says} }
	var articles []string
	for _, a := range r.Articles {
		articles = append(articles, a.Label(lang))
	}
	out := Sheet{
		Name: policy.Words{JA: "この報告について", EN: "About"}, Bar: -1, Columns: []Column{{Says: policy.Words{JA: "項目", EN: "item"}}, {Says: policy.Words{JA: "内容", EN: "content"}}},
		Rows: [][]any{row("報告", "report", r.Title.In(lang)), row("いつの", "of", r.When()), row("条", "articles", strings.Join(articles, " "))},
	}
	for _, n := range r.Notes {
		out.Rows = append(out.Rows, row("注記", "note", n.In(lang)))
	}
	return out
}

// WriteXLSX writes a workbook with a sheet about the report and one for each of its
// tables, whose cells have the types that they are: numbers add up, dates sort, and texts
// are texts, whatever they begin with.
func (r Report) WriteXLSX(to io.Writer, lang string) error {
	z := zip.NewWriter(to)
	var types, sheets, rels string
	all := append([]Sheet{r.about(lang)}, r.Sheets...)
	for i, s := range all {
		n := strconv.Itoa(i + 1)
		types += `<Override PartName="/xl/worksheets/sheet` + n + `.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>`
		sheets += `<sheet name="` + escaped(s.Name.In(lang)) + `" sheetId="` + n + `" r:id="rId` + n + `"/>`
		rels += relation(n, "worksheet", "worksheets/sheet"+n+".xml")
	}
	last := strconv.Itoa(len(all) + 1)
	const about = `http://schemas.openxmlformats.org/package/2006/`
	for _, part := range []struct{ name, text string }{
		{"[Content_Types].xml", xmlHead + `<Types xmlns="` + about + `content-types">` +
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
			`<Default Extension="xml" ContentType="application/xml"/>` +
			`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>` +
			`<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/>` + types + `</Types>`},
		{"_rels/.rels", xmlHead + `<Relationships xmlns="` + about + `relationships">` + relation("1", "officeDocument", "xl/workbook.xml") + `</Relationships>`},
		{"xl/workbook.xml", xmlHead + `<workbook xmlns="` + spreadsheet + `" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><bookViews><workbookView/></bookViews><sheets>` + sheets + `</sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", xmlHead + `<Relationships xmlns="` + about + `relationships">` + rels + relation(last, "styles", "styles.xml") + `</Relationships>`},
		{"xl/styles.xml", styles},
	} {
		w, err := z.Create(part.name)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, part.text); err != nil {
			return err
		}
	}
	for i, s := range all {
		w, err := z.Create("xl/worksheets/sheet" + strconv.Itoa(i+1) + ".xml")
		if err != nil {
			return err
		}
		if err := s.writeXML(w, lang); err != nil {
			return fmt.Errorf("writing the sheet %s: %w", s.Name.In(lang), err)
		}
	}
	return z.Close()
}

func relation(id, kind, target string) string {
	return `<Relationship Id="rId` + id + `" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/` + kind + `" Target="` + target + `"/>`
}

func (s Sheet) writeXML(to io.Writer, lang string) error {
	if len(s.Rows) >= mostRows {
		return errors.New("a sheet holds 1,048,576 rows at most")
	}
	w := bufio.NewWriter(to) // keeps the first error for Flush
	_, _ = w.WriteString(xmlHead + `<worksheet xmlns="` + spreadsheet + `"><sheetViews><sheetView workbookViewId="0">` +
		`<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>`)
	if len(s.Columns) > 0 {
		// As wide as a time needs: Excel shows signs in the place of one that has less.
		_, _ = fmt.Fprintf(w, `<cols><col min="1" max="%d" width="%d" customWidth="1"/></cols>`, len(s.Columns), columnWidth)
	}
	_, _ = w.WriteString(`<sheetData><row r="1">`)
	for i, c := range s.Columns {
		cell(w, i, 1, boldCell, c.Says.In(lang))
	}
	_, _ = w.WriteString(`</row>`)
	for n, row := range s.Rows {
		_, _ = fmt.Fprintf(w, `<row r="%d">`, n+2)
		for i, v := range row {
			style := plainCell
			if _, ok := v.(time.Time); ok {
				style = datedCell
			}
			cell(w, i, n+2, style, v)
		}
		_, _ = w.WriteString(`</row>`)
	}
	_, _ = w.WriteString(`</sheetData></worksheet>`)
	return w.Flush()
}

// cell writes one cell; the zero time and nil are none.
func cell(w *bufio.Writer, column, row, style int, v any) {
	var number string
	switch v := v.(type) {
	case nil:
		return
	case Figure, Lead, Sought:
		number = Text(v)
	case int:
		number = strconv.Itoa(v)
	case int64:
		number = strconv.FormatInt(v, 10)
	case float64:
		number = strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		if v.IsZero() {
			return
		}
		number = strconv.FormatFloat(day(v), 'f', -1, 64)
	}
	_, _ = w.WriteString(`<c r="` + letters(column) + strconv.Itoa(row) + `" s="` + strconv.Itoa(style) + `"`)
	if number != "" {
		_, _ = w.WriteString(`><v>` + number + `</v></c>`)
		return
	}
	_, _ = w.WriteString(` t="inlineStr"><is><t xml:space="preserve">`)
	_ = xml.EscapeText(w, []byte(cut(Text(v)))) // what XML cannot hold becomes U+FFFD
	_, _ = w.WriteString(`</t></is></c>`)
}

// day is a time as a sheet counts: days since the last of 1899, less one (Excel takes 1900
// for a leap year). A sheet knows no zones: what it shows is Japan's time.
func day(t time.Time) float64 {
	local := t.In(japan)
	clock := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
	return clock.Sub(time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)).Hours() / 24
}

// letters name a column, from 0: A, …, Z, AA, …
func letters(column int) (name string) {
	for column++; column > 0; column = (column - 1) / 26 {
		name = string(rune('A'+(column-1)%26)) + name
	}
	return name
}

// cut is as much of a text as a cell holds.
func cut(s string) string {
	if len(s) <= mostText {
		return s
	}
	units := 0
	for i, r := range s {
		if units += utf16.RuneLen(r); units > mostText {
			return s[:i]
		}
	}
	return s
}

func escaped(s string) string {
	var b xmlText
	_ = xml.EscapeText(&b, []byte(s)) // to memory
	return string(b)
}

type xmlText []byte

func (b *xmlText) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }
