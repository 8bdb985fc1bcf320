package policy

import (
	"fmt"
	"slices"
	"strings"
)

// PersonnelRules say how a file of personnel changes (人事異動) is read, who may see
// what would come of it, and how it is carried out (articles 62-3 and 62-4).
type PersonnelRules struct {
	// Columns name the columns of the file. A field that is not here has the names
	// that Sekisho knows it by.
	Columns []PersonnelColumn `yaml:"columns"`
	// Viewers are the posts that may see what a file would do before it is done.
	// Those that approve it may in any case.
	Viewers []PostID `yaml:"viewers"`
	// Roster: a file names all staff, and whoever is not in it leaves.
	Roster bool `yaml:"roster"`
	// StopShare is the share of all IDs, in percent, that may leave by one file.
	StopShare int `yaml:"stop_share"`
	// PerSecond bounds how many lines are carried out in a second, over all gateways.
	PerSecond int `yaml:"per_second"`
	UndoDays  int `yaml:"undo_days"` // for so long an import can be undone
}

// A PersonnelColumn is what the prefecture's own file calls a field.
type PersonnelColumn struct {
	Field   string   `yaml:"field"` // one of PersonnelFields
	Headers []string `yaml:"headers"`
}

// A PersonnelField is something that a line says of a person.
type PersonnelField struct {
	ID      string
	Headers []string // the names that it is known by where the policy gives no other
	Says    Words
}

// PersonnelFields are all of them, in the order in which they are shown.
func PersonnelFields() []PersonnelField {
	return []PersonnelField{
		{"number", []string{"職員番号", "番号"}, Words{"職員番号", "number"}},
		{"name", []string{"氏名", "名前"}, Words{"氏名", "name"}},
		{"kana", []string{"カナ", "氏名カナ", "フリガナ", "かな"}, Words{"カナ", "kana"}},
		{"login", []string{"ログイン", "ログイン名", "ID"}, Words{"ログイン", "login"}},
		{"section", []string{"所属", "所属コード", "室課"}, Words{"所属", "section"}},
		{"posts", []string{"役割", "職"}, Words{"役割", "posts"}},
		{"concurrent", []string{"兼務", "兼務先"}, Words{"兼務", "concurrent"}},
		{"kind", []string{"区分", "職員区分"}, Words{"区分", "kind"}},
		{"change", []string{"異動区分", "異動"}, Words{"異動区分", "change"}},
		{"company", []string{"会社", "事業者", "会社名"}, Words{"会社", "company"}},
		{"prime", []string{"元請", "委託元"}, Words{"元請", "prime"}},
		{"project", []string{"事業", "案件", "契約"}, Words{"案件", "project"}},
		{"owner", []string{"管理者", "管理者番号", "責任を持つ職員"}, Words{"管理者", "owner"}},
		{"starts", []string{"開始日", "採用日", "任用開始"}, Words{"開始日", "starts"}},
		{"ends", []string{"終了日", "退職日", "契約終了", "任用終了"}, Words{"終了日", "ends"}},
		{"mail", []string{"メール", "メールアドレス"}, Words{"メール", "mail"}},
		{"leave_from", []string{"休業開始", "休職開始"}, Words{"休業開始", "leave_from"}},
		{"leave_until", []string{"休業終了", "休職終了"}, Words{"休業終了", "leave_until"}},
		{"handover", []string{"引継ぎ", "引継ぎ終了"}, Words{"引継ぎ", "handover"}},
	}
}

func personnelFieldIDs() []string {
	var ids []string
	for _, f := range PersonnelFields() {
		ids = append(ids, f.ID)
	}
	return ids
}

// FieldOf is the field that a column of a file is for; false for none. Case, width
// and blanks at its ends do not count.
func (r PersonnelRules) FieldOf(header string) (string, bool) {
	is := func(name string) bool { return foldHeader(name) == foldHeader(header) }
	for _, c := range r.Columns {
		if slices.ContainsFunc(c.Headers, is) {
			return c.Field, true
		}
	}
	for _, f := range PersonnelFields() {
		named := slices.ContainsFunc(r.Columns, func(c PersonnelColumn) bool { return c.Field == f.ID && len(c.Headers) > 0 })
		if is(f.ID) || !named && slices.ContainsFunc(f.Headers, is) {
			return f.ID, true
		}
	}
	return "", false
}

func foldHeader(name string) string {
	return strings.ToLower(strings.Join(strings.Fields(strings.Map(halfWidth, name)), ""))
}

// halfWidth is the narrow form of a full-width ASCII character.
func halfWidth(r rune) rune {
	switch {
	case r >= '！' && r <= '～':
		return r - '！' + '!'
	case r == '　':
		return ' '
	}
	return r
}

// HeaderOf is what a field is called to whoever mends a file.
func (r PersonnelRules) HeaderOf(field, lang string) string {
	for _, c := range r.Columns {
		if c.Field == field && len(c.Headers) > 0 {
			return c.Headers[0]
		}
	}
	for _, f := range PersonnelFields() {
		if f.ID == field {
			return f.Says.In(lang)
		}
	}
	return field
}

// PersonnelDeciders are the posts that decide an import: those of a policy (design
// rule 7).
func PersonnelDeciders() []PostID { return []PostID{CIO, SecurityOfficer} }

// MayView reports whether posts may see what a file would do.
func (r PersonnelRules) MayView(posts []PostID) bool {
	may := append(PersonnelDeciders(), r.Viewers...) // nobody approves what they cannot see
	return slices.ContainsFunc(posts, func(id PostID) bool { return slices.Contains(may, id) })
}

func personnelSettings() []Setting {
	return []Setting{
		{Path: "personnel.roster", Kind: KindFlag, Default: false, Article: "62-4",
			Says: Words{"人事異動のファイルが全職員の名簿であり、載っていない職員を退職とみなすか。", "Whether a file of personnel changes names all staff, so that whoever is not in it leaves."}},
		{Path: "personnel.stop_share", Unit: "percent", Kind: KindInt, Default: 20, Min: 1, Max: 100, Article: "62-4",
			Says: Words{"一つのファイルで退職とできるIDの、全体に対する割合。超えると止まる。", "The share of all IDs that may leave by one file; more stops it."}},
		{Path: "personnel.per_second", Unit: "lines", Kind: KindInt, Default: 200, Min: 1, Max: 10000, Article: "62-3",
			Says: Words{"人事異動を一秒に反映する行数の上限。", "How many lines of personnel changes are carried out in a second at most."}},
		{Path: "personnel.undo_days", Unit: "days", Kind: KindInt, Default: 7, Min: 0, Max: 30, Article: "62-3",
			Says: Words{"人事異動の反映を元に戻せる日数。", "For so many days an import can be undone."}},
	}
}

func (c *checker) personnel() {
	fields := once{}
	heads := map[string]bool{}
	for i, col := range c.p.Personnel.Columns {
		at := fmt.Sprintf("personnel.columns[%d]", i)
		c.need(at+".field", col.Field, "62-3")
		fields.check(c, col.Field, at+".field", "62-3", "同じ項目が二度書かれています。", "The field is there twice.")
		if len(col.Headers) == 0 && !c.problemAt(at+".headers") {
			c.refuse(at+".headers", "62-3", "", "列の名前を書いてください。", "Say what the column is called.")
		}
		for j, h := range col.Headers {
			where := fmt.Sprintf("%s.headers[%d]", at, j)
			c.need(where, strings.TrimSpace(h), "62-3")
			if key := foldHeader(h); heads[key] && key != "" {
				c.refuse(where, "62-3", "", "同じ列の名前が二度書かれています。", "Two fields have a column of this name.")
			} else {
				heads[key] = true
			}
		}
	}
}
