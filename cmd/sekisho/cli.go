package main

import (
	"github.com/alecthomas/kong"

	"sekisho/policy"
)

// cli is the grammar. A command that is not in it is wrong use, whatever a
// later version may know.
type cli struct {
	Dev    devCmd   `cmd:"" help:"${dev}"`
	Serve  serveCmd `cmd:"" help:"${serve}"`
	Config struct {
		Check configCheckCmd `cmd:"" help:"${config_check}"`
	} `cmd:"" help:"${config}"`
	Policy struct {
		Check policyCheckCmd `cmd:"" help:"${policy_check}"`
		Diff  policyDiffCmd  `cmd:"" help:"${policy_diff}"`
		Apply policyApplyCmd `cmd:"" help:"${policy_apply}"`
		Show  policyShowCmd  `cmd:"" help:"${policy_show}"`
	} `cmd:"" help:"${policy}"`
	Audit struct {
		Export auditExportCmd `cmd:"" help:"${audit_export}"`
		Verify auditVerifyCmd `cmd:"" help:"${audit_verify}"`
		Key    auditKeyCmd    `cmd:"" help:"${audit_key}"`
	} `cmd:"" help:"${audit}"`
}

// vocabulary is the help, by key.
var vocabulary = map[string]policy.Words{
	"about":        {JA: "関所（Sekisho）は県の情報システムの入口です。", EN: "Sekisho is the gate to a prefecture's information systems."},
	"dev":          {JA: "例県の人々と見本の業務システムで、この場で試す", EN: "try it here and now, with a sample prefecture and its applications"},
	"dev_listen":   {JA: "聞くアドレス（既定 127.0.0.1:8080）", EN: "address to listen on (default 127.0.0.1:8080)"},
	"dev_data":     {JA: "データを置くフォルダ（既定 ./sekisho-data）", EN: "folder to keep everything in (default ./sekisho-data)"},
	"dev_reset":    {JA: "前の試用のデータを消してから始める", EN: "remove what an earlier dev kept, then start"},
	"serve":        {JA: "設定ファイルのとおりに動かす", EN: "run the gate that a configuration file describes"},
	"config":       {JA: "設定ファイル", EN: "the configuration file"},
	"config_check": {JA: "起動を妨げるものを、起動する前に見つける", EN: "find what would fail at the start, before the start"},
	"policy":       {JA: "方針（policy.yaml）", EN: "the rules, policy.yaml"},
	"policy_check": {JA: "方針のファイルを調べる", EN: "look for what is wrong with a file of rules"},
	"policy_diff":  {JA: "いまの方針との違いを示す", EN: "show how a file differs from the rules in force"},
	"policy_apply": {JA: "方針を提案する。二人目の承認で有効になる（dev と空のデータベースではすぐに）", EN: "propose a file as the new rules; a second person approves it (at once in dev and on an empty store)"},
	"policy_show":  {JA: "いまの方針を示す", EN: "show the rules in force"},
	"policy_file":  {JA: "方針のファイル", EN: "the file of rules"},
	"propose":      {JA: "dev でも、すぐに有効にせず提案する", EN: "propose even in dev, where rules otherwise apply at once"},
	"audit":        {JA: "証跡", EN: "the trail"},
	"audit_export": {JA: "証跡を JSON Lines で書き出す", EN: "write the trail as JSON Lines"},
	"audit_verify": {JA: "証跡が改ざんされていないことを確かめる", EN: "prove that nobody has changed the trail"},
	"audit_key":    {JA: "証跡の公開鍵を示す（trailcheck --key に渡すもの）", EN: "show the trail's public key, which trailcheck --key takes"},
	"out":          {JA: "書き出すファイル（既定は標準出力）", EN: "file to write (default: standard output)"},
	"config_flag":  {JA: "設定ファイル sekisho.yaml", EN: "the configuration file, sekisho.yaml"},
	"help_flag":    {JA: "この説明を示す", EN: "show this help"},
	"data_flag":    {JA: "sekisho dev が作ったフォルダ", EN: "a folder made by sekisho dev"},
}

// helpWords fills the grammar's help in one language.
func helpWords(lang string) kong.Vars {
	vars := kong.Vars{}
	for key, words := range vocabulary {
		vars[key] = words.In(lang)
	}
	return vars
}
