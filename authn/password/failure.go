package password

import (
	"fmt"
	"strings"

	"sekisho/policy"
)

// The codes of failures. They are stable: scripts and translations rely on them.
const (
	TooShort         = "too_short"
	TooLong          = "too_long"
	NotText          = "not_text"
	ControlCharacter = "control_character"
	Unchanged        = "unchanged"
	Common           = "common"
	OwnWord          = "own_word"
	BlockedWord      = "blocked_word"
	CommonWord       = "common_word"
	Keyboard         = "keyboard"
	Sequence         = "sequence"
	Repetition       = "repetition"
	Date             = "date"
	Weak             = "weak"
	Reused           = "reused"
	TooFewClasses    = "too_few_classes"
)

// A Failure is one reason why a password was refused.
type Failure struct {
	Code    string         // stable, for programs
	Says    policy.Words   // what is wrong and what to do, for the person
	Article policy.Article // the article of the guideline it serves
}

// Rejected is the error that carries every failure of a password. Its text
// holds codes alone, so that it can be logged.
type Rejected struct{ Failures []Failure }

func (r *Rejected) Error() string {
	return "password refused: " + strings.Join(r.Codes(), ", ")
}

// Codes lists the codes of the failures, in the order they were found.
func (r *Rejected) Codes() []string {
	codes := make([]string, len(r.Failures))
	for i, f := range r.Failures {
		codes[i] = f.Code
	}
	return codes
}

// Has reports whether a failure with this code is among them.
func (r *Rejected) Has(code string) bool {
	for _, f := range r.Failures {
		if f.Code == code {
			return true
		}
	}
	return false
}

// WasUsed is the failure of a password that History.Seen recognised. Article
// 46-2(5), no password twice: the history spans all IDs of one person.
func WasUsed(rules policy.PasswordRules) Failure {
	return failure(Reused, rules, Context{})
}

// failure words a code. Every sentence says what to do next; none repeats
// anything that was typed, because these texts travel and are kept.
func failure(code string, rules policy.PasswordRules, words Context) Failure {
	f := Failure{Code: code, Article: "46-2(3)"}
	say := func(ja, en string) { f.Says = policy.Words{JA: ja, EN: en} }
	switch code {
	case TooShort:
		n := minLength(rules, words)
		say(fmt.Sprintf("短すぎます。%d文字以上にしてください。関係のない言葉を四つ以上つなげると、長くても覚えやすくなります。", n),
			fmt.Sprintf("Too short. Use at least %d characters; four or more unrelated words are long and easy to remember.", n))
	case TooLong:
		n := maxLength(rules)
		say(fmt.Sprintf("長すぎます。%d文字以内にしてください。", n),
			fmt.Sprintf("Too long. Use at most %d characters.", n))
		f.Article = "64-3"
	case NotText:
		say("文字として読めないデータが含まれています。キーボードから入力し直してください。",
			"It contains data that is not text. Please type it again.")
		f.Article = "64-3"
	case ControlCharacter:
		say("改行やタブなど、目に見えない制御文字は使えません。取り除いてください（空白は使えます）。",
			"Line breaks, tabs and other control characters cannot be used. Remove them (spaces are fine).")
		f.Article = "64-3"
	case Unchanged:
		say("今のパスワードと同じです。別のものにしてください。",
			"This is the present password. Choose a different one.")
		f.Article = "46-2(6)"
	case Common:
		say("よく使われていて、最初に試されるパスワードです。数字や記号を足さず、まったく別のものにしてください。",
			"This is a common password that is tried first. Choose something altogether different; adding digits or symbols does not help.")
	case OwnWord:
		say("ログイン名、氏名、メールアドレス、所属など、あなたに関する言葉が大部分を占めています。それらを含まないものにしてください。",
			"Most of it is your login, name, mail address or section. Leave those out.")
	case BlockedWord:
		say("組織名やサービス名など、使用を禁じている言葉が大部分を占めています。それらを含まないものにしてください。",
			"Most of it is a word that is not allowed here, such as the name of the organisation or service. Leave it out.")
	case CommonWord:
		say("よく使われる言葉一つか二つに、数字や記号を足しただけです。関係のない言葉を四つ以上つなげてください。",
			"It is just one or two familiar words with digits or symbols. Join four or more unrelated words instead.")
	case Keyboard:
		say("キーボードの並び（qwerty、1qaz など）が大部分を占めています。並び順に頼らないものにしてください。",
			"Most of it follows the keys of a keyboard (qwerty, 1qaz). Do not follow the keys.")
	case Sequence:
		say("連続した文字や数字（abcd、1234、あいうえ など）が大部分を占めています。連続しないものにしてください。",
			"Most of it is a run of letters or digits (abcd, 1234). Avoid such runs.")
	case Repetition:
		say("同じ文字や言葉の繰り返しが大部分を占めています。繰り返さないものにしてください。",
			"Most of it repeats the same characters or words. Do not repeat them.")
	case Date:
		say("年月日や元号（2026、20261123、令和8年、R8、4月 など）が大部分を占めています。日付を使わないものにしてください。",
			"Most of it is a date, a year or an era (2026, 20261123, Reiwa 8, R8, April). Leave dates out.")
	case Weak:
		say("推測されやすいパスワードです。関係のない言葉を足して、もっと長くしてください。",
			"It is easy to guess. Make it longer by adding unrelated words.")
	case Reused:
		say("以前に使ったパスワードです。ほかのIDで使ったものも含め、使ったことのないものにしてください。",
			"It has been used before, by this or another ID of yours. Choose one you have not used.")
		f.Article = "46-2(5)"
	}
	return f
}
