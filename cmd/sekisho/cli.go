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
		Check  policyCheckCmd  `cmd:"" help:"${policy_check}"`
		Diff   policyDiffCmd   `cmd:"" help:"${policy_diff}"`
		Apply  policyApplyCmd  `cmd:"" help:"${policy_apply}"`
		Show   policyShowCmd   `cmd:"" help:"${policy_show}"`
		Export policyExportCmd `cmd:"" help:"${policy_export}"`

		ClientSecret clientSecretCmd `cmd:"" help:"${client_secret}"`
	} `cmd:"" help:"${policy}"`
	People struct {
		Import peopleImportCmd `cmd:"" help:"${people_import}"`
	} `cmd:"" help:"${people}"`
	Audit struct {
		Export auditExportCmd `cmd:"" help:"${audit_export}"`
		Verify auditVerifyCmd `cmd:"" help:"${audit_verify}"`
		Key    auditKeyCmd    `cmd:"" help:"${audit_key}"`
	} `cmd:"" help:"${audit}"`
	Keys struct {
		List   keysListCmd   `cmd:"" help:"${keys_list}"`
		Rotate keysRotateCmd `cmd:"" help:"${keys_rotate}"`
		Drop   keysDropCmd   `cmd:"" help:"${keys_drop}"`
	} `cmd:"" help:"${keys}"`
	Lockdown struct {
		Key  lockdownKeyCmd  `cmd:"" help:"${lockdown_key}"`
		Lift lockdownLiftCmd `cmd:"" help:"${lockdown_lift}"`
	} `cmd:"" help:"${lockdown}"`
	Sweep  sweepCmd `cmd:"" help:"${sweep}"`
	Report struct {
		Dormant   reportDormantCmd   `cmd:"" help:"${report_dormant}"`
		Privilege reportPrivilegeCmd `cmd:"" help:"${report_privilege}"`
		Remote    reportRemoteCmd    `cmd:"" help:"${report_remote}"`
		Reconcile reportReconcileCmd `cmd:"" help:"${report_reconcile}"`
		Evidence  reportEvidenceCmd  `cmd:"" help:"${report_evidence}"`
	} `cmd:"" help:"${report}"`
	Backup  backupCmd  `cmd:"" help:"${backup}"`
	Restore restoreCmd `cmd:"" help:"${restore}"`
	Replay  replayCmd  `cmd:"" help:"${replay}"`
}

// vocabulary is the help, by key.
var vocabulary = map[string]policy.Words{
	"about":         {JA: "関所（Sekisho）は県の情報システムの入口です。", EN: "Sekisho is the gate to a prefecture's information systems."},
	"dev":           {JA: "例県の人々と見本の業務システムで、この場で試す", EN: "try it here and now, with a sample prefecture and its applications"},
	"dev_listen":    {JA: "聞くアドレス（既定 127.0.0.1:8080）", EN: "address to listen on (default 127.0.0.1:8080)"},
	"dev_data":      {JA: "データを置くフォルダ（既定 ./sekisho-data）", EN: "folder to keep everything in (default ./sekisho-data)"},
	"dev_reset":     {JA: "前の試用のデータを消してから始める", EN: "remove what an earlier dev kept, then start"},
	"serve":         {JA: "設定ファイルのとおりに動かす", EN: "run the gate that a configuration file describes"},
	"config":        {JA: "設定ファイル", EN: "the configuration file"},
	"config_check":  {JA: "起動を妨げるものを、起動する前に見つける", EN: "find what would fail at the start, before the start"},
	"policy":        {JA: "方針（policy.yaml）", EN: "the rules, policy.yaml"},
	"policy_check":  {JA: "方針のファイルを調べる", EN: "look for what is wrong with a file of rules"},
	"policy_diff":   {JA: "いまの方針との違いを示す", EN: "show how a file differs from the rules in force"},
	"policy_apply":  {JA: "方針を提案する。二人目の承認で有効になる（dev と空のデータベースではすぐに）", EN: "propose a file as the new rules; a second person approves it (at once in dev and on an empty store)"},
	"policy_show":   {JA: "いまの方針を示す", EN: "show the rules in force"},
	"client_secret": {JA: "OpenID Connectのクライアントの秘密の値と、方針に書くハッシュを作る", EN: "make a secret for an OpenID Connect client, and the hash that the rules say of it"},
	"policy_file":   {JA: "方針のファイル", EN: "the file of rules"},
	"policy_export": {JA: "いまの方針を、ほかの領域の関所のために署名して書き出す", EN: "write the rules in force, signed, for another zone's gateway"},
	"export_file":   {JA: "書き出すファイル", EN: "file to write"},
	"export_valid":  {JA: "有効な時間（既定 720h、30日）", EN: "how long it is good (default 720h, 30 days)"},
	"people":        {JA: "利用者", EN: "people"},
	"people_import": {JA: "人事異動のファイル（CSV）を読み、その日に反映する。二人目の承認を要する（dev と空のデータベースではすぐに）", EN: "read a CSV of personnel changes and carry it out on its day, when a second person has approved it (at once in dev and on an empty store)"},
	"people_file":   {JA: "人事異動のファイル。ExcelのCSV（UTF-8又はShift_JIS）", EN: "the file: Excel's CSV, in UTF-8 or Shift_JIS"},
	"propose":       {JA: "dev でも、すぐに有効にせず提案する", EN: "propose even in dev, where rules otherwise apply at once"},
	"audit":         {JA: "証跡", EN: "the trail"},
	"audit_export":  {JA: "証跡を JSON Lines で書き出す", EN: "write the trail as JSON Lines"},
	"audit_verify":  {JA: "証跡が改ざんされていないことを確かめる", EN: "prove that nobody has changed the trail"},
	"audit_key":     {JA: "証跡の公開鍵を示す（trailcheck --key に渡すもの）", EN: "show the trail's public key, which trailcheck --key takes"},
	"keys":          {JA: "鍵", EN: "the keys"},
	"keys_list":     {JA: "鍵と、まだその下にあるものを示す（鍵そのものは示さない）", EN: "show which keys there are and what still stands under them; never a key"},
	"keys_rotate":   {JA: "鍵を新しくする。動いているゲートのそばで使える", EN: "bring a new key, beside running gates"},
	"keys_drop":     {JA: "役目を終えた鍵を、台帳とファイルから除く", EN: "remove a key that nothing needs any more from the book and the file"},
	"keys_which":    {JA: "session, sealing, signing, trail, export のどれか、又は all（既定。export は含まない）", EN: "session, sealing, signing, trail, export, or all (default; without export)"},
	"keys_now":      {JA: "緊急。署名鍵を、公開から一日待たずに使う", EN: "emergency: a signing key signs at once instead of a day after it was published"},
	"keys_distrust": {JA: "緊急。前の鍵をすぐに無効にする（署名したもの、セッションも）", EN: "emergency: the keys before are dead at once, with what they signed and every session"},
	"keys_out":      {JA: "鍵のファイルに書けないとき、新しい鍵を足した写しをここに書く", EN: "where the key file cannot be written: write a copy with the new key here, to be put in place"},
	"keys_format":   {JA: "table か json", EN: "table or json"},
	"keys_ring":     {JA: "session, sealing, trail, export のどれか", EN: "session, sealing, trail or export"},
	"keys_id":       {JA: "鍵の番号（既定は、除けるものすべて）", EN: "id of the key (default: all that can go)"},
	"backup":        {JA: "全体を一つの暗号化したファイルに控える（動いたままでよい）", EN: "copy the store into one encrypted file, while the gate works"},
	"backup_file":   {JA: "控えのファイル", EN: "the backup"},
	"restore":       {JA: "控えからデータベースを戻す。使われているものは、二人目の承認で置き換える（dev と空のデータベースではすぐに）", EN: "restore a backup; in the place of a store in use when a second person has approved it (at once in dev and into an empty store)"},
	"identity":      {JA: "控えを開く age の鍵のファイル", EN: "file of the age identity that opens the backup"},

	"restore_proposal":   {JA: "どの提案の承認で行うか（既定は、このファイルの新しいもの）", EN: "the proposal whose approval to use (default: the newest for this file)"},
	"restore_sealed_key": {JA: "緊急。二人目の代わりに、封筒の中の鍵を使う（証跡と通知に残り、後閲される）", EN: "emergency: a sealed key in the place of the second person; entered on the trail, told to all concerned, and reviewed"},

	"replay":         {JA: "復元で失われた取上げ（利用停止、漏えい、紛失、取消しなど）を、証跡の書き出しからやり直す", EN: "take away again what a restore has given back (suspensions, leaks, losses, revocations), out of an export of the trail"},
	"replay_export":  {JA: "復元の前に `sekisho audit export` が書いたファイル", EN: "what sekisho audit export wrote before the restore"},
	"replay_dry_run": {JA: "見るだけで、何も変えない", EN: "look, and change nothing"},

	"lockdown":      {JA: "緊急停止", EN: "lock-downs"},
	"lockdown_key":  {JA: "封印する鍵を作る。公開の半分は方針に書く", EN: "make a key to be sealed; the rules name its public half"},
	"lockdown_lift": {JA: "封印した鍵で、いまの緊急停止をすべて解除する（証跡と通知に残る）", EN: "lift every lock-down in force by a sealed key; it is entered on the trail and told to all concerned"},

	"report":           {JA: "報告", EN: "reports"},
	"report_dormant":   {JA: "使われていないID（前の点検の結果）", EN: "IDs that nobody uses, as the last sweep found them"},
	"report_privilege": {JA: "だれが何をどれだけ借りたか", EN: "who borrowed what privilege, for how long"},
	"report_remote":    {JA: "外部からの接続の許可と利用", EN: "permits for access from outside, and their use"},
	"report_reconcile": {JA: "台帳とディレクトリの食い違い", EN: "where books and directory do not agree"},
	"report_evidence":  {JA: "条ごとの証拠（監査のため）", EN: "evidence for each article, for an auditor"},
	"report_from":      {JA: "期間の最初の日（既定は30日前）", EN: "first day of the period (default: 30 days back)"},
	"report_to":        {JA: "期間の最後の日（既定は今）", EN: "last day of the period (default: now)"},
	"report_format":    {JA: "json、csv、xlsx、html のどれか", EN: "json, csv, xlsx or html"},

	"sweep":            {JA: "使われていないIDを、いま点検する（毎日自動でも行う）", EN: "look for unused IDs now; the gate does each day by itself"},
	"people_effective": {JA: "反映する日（日本時間の0時。既定はすぐに）", EN: "the day on which it takes effect, at midnight in Japan (default: at once)"},
	"people_propose":   {JA: "dev でも、すぐに反映せず提案する", EN: "propose even in dev, where it is otherwise carried out at once"},
	"people_dry_run":   {JA: "何が起きるかを見るだけで、何も変えない", EN: "look at what it would do, and change nothing"},

	"sweep_dry_run": {JA: "見るだけで、何も変えない", EN: "look, and change nothing"},
	"sweep_as_of":   {JA: "この日（日本時間）の終わりの時点で見る", EN: "as of the end of this day, Japan time"},
	"sweep_format":  {JA: "table、json、csv のどれか", EN: "table, json or csv"},
	"sweep_act":     {JA: "はじめての点検でも、見るだけにせず処理する", EN: "act also where no sweep has been: without it, the first only looks"},
	"sweep_uses":    {JA: "届かないシステムでの最後の利用（login,system,last_used のCSV）を先に取り込む", EN: "first take in last uses at systems out of reach: CSV of login,system,last_used"},

	"lockdown_key_out":    {JA: "秘密の半分を書くファイル（まだないもの）", EN: "file for the private half, which is not there yet"},
	"lockdown_sealed_key": {JA: "封筒の中の鍵のファイル", EN: "the file out of the envelope"},

	"out":         {JA: "書き出すファイル（既定は標準出力）", EN: "file to write (default: standard output)"},
	"config_flag": {JA: "設定ファイル sekisho.yaml", EN: "the configuration file, sekisho.yaml"},
	"help_flag":   {JA: "この説明を示す", EN: "show this help"},
	"data_flag":   {JA: "sekisho dev が作ったフォルダ", EN: "a folder made by sekisho dev"},
}

// helpWords fills the grammar's help in one language.
func helpWords(lang string) kong.Vars {
	vars := kong.Vars{}
	for key, words := range vocabulary {
		vars[key] = words.In(lang)
	}
	return vars
}
