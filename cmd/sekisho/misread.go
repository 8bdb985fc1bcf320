package main

import (
	"regexp"

	"sekisho/cmd/sekisho/say"
)

// misreadings put what kong says of a command line into Japanese. One that is
// not here is shown as kong says it.
var misreadings = []struct {
	says *regexp.Regexp
	ja   string
}{
	{regexp.MustCompile(`^unknown flag (\S+?)(?:, did you mean (.+)\?)?$`), "$1 という指定はありません"},
	{regexp.MustCompile(`^unexpected argument (.+?)(?:, did you mean (.+)\?)?$`), "$1 は余分か、打ち間違いです"},
	{regexp.MustCompile(`^expected one of (.+)$`), "次のどれかを続けてください: $1"},
	{regexp.MustCompile(`^missing flags: (.+)$`), "$1 を書いてください"},
	{regexp.MustCompile(`^expected "(.+)"$`), "$1 を書いてください"},
	{regexp.MustCompile(`^(\S+): expected .+ value but got .+$`), "$1 に値を書いてください"},
}

// misread says what is wrong with a command line, and where its use is written.
func misread(err error) error {
	text := err.Error()
	ja := text
	for _, m := range misreadings {
		found := m.says.FindStringSubmatchIndex(text)
		if found == nil {
			continue
		}
		ja = string(m.says.ExpandString(nil, m.ja, text, found))
		if near := m.says.ReplaceAllString(text, "$2"); m.says.NumSubexp() > 1 && near != "" {
			ja += "（" + near + " では？）"
		}
		break
	}
	return say.Errorf("%[2]s。`sekisho --help` に使い方があります。", "%[1]v; see `sekisho --help`", err, ja)
}
