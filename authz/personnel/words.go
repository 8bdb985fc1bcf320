package personnel

import (
	"sekisho/directory"
	"sekisho/policy"
)

// vocabulary is what the cells of a file may say.
type vocabulary struct {
	sections map[string]string
	posts    map[string]policy.PostID
	kinds    map[string]Kind
}

func fold(s string) string { return directory.Canonical(s) }

func vocabularyOf(p *policy.Policy) vocabulary {
	v := vocabulary{map[string]string{}, map[string]policy.PostID{}, map[string]Kind{}}
	for _, s := range p.Sections {
		for _, name := range []string{s.Name.EN, s.Name.JA, s.ID} { // the id counts before a name
			if name != "" {
				v.sections[fold(name)] = s.ID
			}
		}
	}
	for _, post := range p.Posts {
		for _, name := range []string{post.Name.EN, post.Name.JA, string(post.ID)} {
			if name != "" {
				v.posts[fold(name)] = post.ID
			}
		}
	}
	for k, names := range map[Kind][]string{
		Staff: {"正規", "一般職員"}, Appointed: {"会計年度", "会計年度任用"}, Contractor: {"委託", "委託事業者", "業者"}, Subcontractor: {"再委託", "再委託事業者"},
		Shared: {"共用ID"}, Service: {"システム", "プログラムID", "service account"},
	} {
		for _, name := range append(names, string(k), k.Words().JA, k.Words().EN) {
			v.kinds[fold(name)] = k
		}
	}
	return v
}

// leaving are the words for a change that ends somebody's service.
var leaving = []string{"退職", "退任", "転出", "任用終了", "契約終了", "終了", "leave", "leaver"}

// returning are those for the end of a leave.
var returning = []string{"復職", "復帰", "return"}

// staying are those that say what the rest of the line says anyway.
var staying = []string{"", "採用", "転入", "異動", "昇任", "再任用", "任用", "継続", "更新", "兼務", "休職", "休業", "join", "joiner", "move", "mover", "renew"}

// none says that something that was so is so no more.
var none = []string{"なし", "無し", "無", "-", "－", "―", "none"}
