package policy

import (
	"os"
	"testing"
)

const settingsDoc = "../docs/settings.md"

// The page of settings is the table that checks the files, written out. With
// SEKISHO_UPDATE=1 it is written anew.
func TestSettingsDocIsGenerated(t *testing.T) {
	want := "# Settings of policy.yaml 方針の設定項目\n\n" +
		"Written from the table that fills the profile and checks every file; the text\n" +
		"is renewed by `SEKISHO_UPDATE=1 go test ./policy -run TestSettingsDoc`. `[]`\n" +
		"stands for each item of a list. What has no number (posts, networks,\n" +
		"applications) is shown in [the example](../policy/testdata/example.yaml). Where\n" +
		"profile `jp-legacy` has another default it stands beside the standard's; see\n" +
		"[its example](../policy/testdata/jp-legacy.yaml).\n\n" +
		"この頁は、方針のファイルを調べる表そのものから書き出しています。`[]` は一覧の\n" +
		"一つ一つを表します。数でない項目（職、接続元、システム）は\n" +
		"[手本](../policy/testdata/example.yaml) にあります。プロファイル `jp-legacy` の既定値が\n" +
		"違う項目は、並べて書いています（[手本](../policy/testdata/jp-legacy.yaml)）。\n\n" +
		"## 日本語\n\n" + SettingsMarkdown("ja") + "\n## English\n\n" + SettingsMarkdown("en")
	if os.Getenv("SEKISHO_UPDATE") == "1" {
		if err := os.WriteFile(settingsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(settingsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the settings say; run with SEKISHO_UPDATE=1", settingsDoc)
	}
}
