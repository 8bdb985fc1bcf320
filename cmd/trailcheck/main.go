// Command trailcheck checks an exported trail offline.
//
//	trailcheck EXPORT --key PUBKEY [--checkpoint OLD]
//
// It is for auditors who do not trust the operator: it needs no database, no
// network and no configuration, and of this module it knows only
// policy/audit/proof. Exit status 0: the trail is whole. 1: it is not, and the
// one line on stderr says where and what to do. 2: wrong use.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"sekisho/policy/audit/proof"
)

const (
	whole = 0
	fault = 1
	usage = 2
)

type options struct {
	Export     string `arg:"" name:"EXPORT" help:"The exported trail, JSON Lines; - reads standard input. 監査証跡の書き出し"`
	Key        string `required:"" placeholder:"PUBKEY" help:"The public key of the trail: its text, or a file that holds it. 公開鍵の文字列またはファイル"`
	Checkpoint string `placeholder:"OLD" help:"A checkpoint kept from earlier; it must be a prefix of the trail. 以前に控えた署名付きチェックポイント"`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, language(os.Getenv)))
}

// run is main with its surroundings as arguments.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, lang string) int {
	var o options
	asked := false // for help, which kong prints and then exits
	parser, err := kong.New(&o, kong.Name("trailcheck"), kong.Writers(stdout, stderr),
		kong.Description("Checks an exported trail offline. 書き出した監査証跡を単独で検証します。"),
		kong.Exit(func(int) { asked = true }))
	if err != nil {
		panic(err) // options itself is malformed, which no argument can cause
	}
	_, err = parser.Parse(args)
	switch {
	case asked:
		return whole
	case err != nil:
		return complain(stderr, usage, "%v: trailcheck EXPORT --key PUBKEY [--checkpoint OLD]", err)
	}

	key, err := readKey(o.Key)
	if err != nil {
		return complain(stderr, usage, "--key: %v", err)
	}
	var old []byte
	if o.Checkpoint != "" {
		if old, err = os.ReadFile(o.Checkpoint); err != nil {
			return complain(stderr, usage, "--checkpoint: %v", err)
		}
		if len(old) == 0 {
			// An empty file must not pass for "nothing to compare with".
			return complain(stderr, usage, "--checkpoint: %s is empty", o.Checkpoint)
		}
	}
	in := stdin
	if o.Export != "-" {
		f, err := os.Open(o.Export)
		if err != nil {
			return complain(stderr, usage, "%v", err)
		}
		defer f.Close()
		in = f
	}

	report, err := proof.Verify(in, key, old)
	var found *proof.Fault
	switch {
	case errors.As(err, &found):
		return complain(stderr, fault, "%s", say(found, lang))
	case err != nil:
		return complain(stderr, fault, "%v", err)
	}
	fmt.Fprintln(stdout, praise(report, lang))
	return whole
}

// readKey takes the text of a key, or else the file of that name.
func readKey(given string) (string, error) {
	if proof.ValidKey(given) {
		return given, nil
	}
	text, err := os.ReadFile(given)
	if err != nil {
		return "", errors.New("it is neither a public key (NAME+HASH+BASE64, dev.json's trail.public_key) nor a file that holds one")
	}
	if key := strings.TrimSpace(string(text)); proof.ValidKey(key) {
		return key, nil
	}
	return "", fmt.Errorf("%s does not hold a public key (NAME+HASH+BASE64)", given)
}

// complain writes one line, whatever is in it.
func complain(stderr io.Writer, code int, format string, args ...any) int {
	line := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	fmt.Fprintln(stderr, "trailcheck:", line)
	return code
}

// language follows POSIX: the first of these that is set decides.
func language(getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(name); v != "" {
			if strings.HasPrefix(v, "ja") {
				return "ja"
			}
			return "en"
		}
	}
	return "en"
}

func praise(r proof.Report, lang string) string {
	span := ""
	if r.Entries > 0 {
		span = ", " + r.First.UTC().Format(time.RFC3339) + " – " + r.Last.UTC().Format(time.RFC3339)
	}
	if n := len(r.Keys); n > 1 && lang == "ja" {
		span += fmt.Sprintf(", 署名鍵 %d 代（最後は %s）", n, r.Keys[n-1])
	} else if n > 1 {
		span += fmt.Sprintf(", signed by %d keys, one after another (the last is %s)", n, r.Keys[n-1])
	}
	if lang == "ja" {
		return fmt.Sprintf("証跡に欠けも改変もありません: %d 件, チェックポイント %d (%s)%s", r.Entries, r.Size, r.Root, span)
	}
	return fmt.Sprintf("the trail is whole: %d entries, checkpoint %d (%s)%s", r.Entries, r.Size, r.Root, span)
}

// say is the fault and what to do about it.
func say(f *proof.Fault, lang string) string {
	w := words[f.Kind]
	if lang == "ja" {
		return fmt.Sprintf("%s (%s)。%s", w.fault(f), f.Says, w.doJA)
	}
	return fmt.Sprintf("%s; %s", f.Says, w.doEN)
}

// A saying is a kind of fault in Japanese, and what to do in both languages.
type saying struct {
	ja         string
	doJA, doEN string
}

func (s saying) fault(f *proof.Fault) string {
	place := fmt.Sprintf("索引 %d", f.Index)
	if f.Index < 0 {
		place = fmt.Sprintf("索引 %d 以上 %d 未満", f.From, f.To)
	}
	if f.From < 0 {
		return s.ja
	}
	return place + ": " + s.ja
}

const (
	keepJA = "この書き出しを保全し、元のシステムから書き出し直して比べてください"
	keepEN = "keep this file, export again from the system itself and compare"
)

var words = map[proof.Kind]saying{
	proof.KindLine:       {"行の形が正しくありません", keepJA, keepEN},
	proof.KindIndex:      {"並びが正しくありません（削除・挿入・入れ替え）", keepJA, keepEN},
	proof.KindHash:       {"内容がハッシュと一致しません", keepJA, keepEN},
	proof.KindCheckpoint: {"チェックポイントが真正ではありません", keepJA, keepEN},
	proof.KindKey:        {"別の鍵で署名されています", "--key が正しいか、保管してある公開鍵で確かめてください", "check --key against the public key kept outside the system"},
	proof.KindPlace:      {"件数がチェックポイントと一致しません", keepJA, keepEN},
	proof.KindTree:       {"ハッシュごと書き換えられています", keepJA, keepEN},
	proof.KindCut:        {"末尾が署名で終わっていません", "書き出しが途中で切れていないか確かめ、書き出し直してください", "see whether the export was cut off, and export again"},
	proof.KindOld:        {"控えのチェックポイントが真正ではありません", "--checkpoint に署名付きチェックポイント一つのファイルを指定してください", "give --checkpoint a file that holds one signed checkpoint of this trail"},
	proof.KindRollback:   {"控えより短くなっています（巻き戻し）", "控えと書き出しの両方を保全し、監査担当に知らせてください", "keep both and tell the auditors"},
	proof.KindRestored:   {"この範囲は復元（バックアップからの巻き戻し）で失われました", "証跡のこの記録（store.restored）と承認者を確かめ、控えと書き出しの両方を保全してください", "look at that entry and who approved it, and keep both"},
	proof.KindFork:       {"控えと異なる履歴です（分岐）", "控えと書き出しの両方を保全し、監査担当に知らせてください", "keep both and tell the auditors"},
}
