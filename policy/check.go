package policy

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// check looks for what no single value shows: what is missing, what points to
// nothing, what is there twice, and choices that are each allowed but toxic
// together. Every check runs, whatever the ones before it found. brought: the file is to
// be taken, and is not one that was.
func check(p *Policy, d *document, brought bool) {
	c := &checker{p: p, document: d, brought: brought, known: make(map[string]Section, len(p.Sections))}
	for _, s := range p.Sections {
		c.known[s.ID], c.ids = s, append(c.ids, s.ID)
	}
	c.prefecture()
	c.zones()
	c.matrix()
	c.classes()
	c.posts()
	c.sections()
	c.networks()
	c.terminals()
	c.applications()
	c.clients()
	c.privileges()
	c.sharedIDs()
	c.permits()
	c.lockDown()
	c.passkeys()
	c.cards()
	c.deviations()
	c.approval()
	c.texts()
	c.passwords()
	c.lockout()
	c.times()
	c.dormancy()
	c.reports()
	c.recertifications()
	c.personnel()
}

type checker struct {
	p       *Policy
	known   map[string]Section // the sections by id
	ids     []string           // the sections' ids
	brought bool
	*document
}

// refuse notes a problem at a field.
func (c *checker) refuse(field string, article Article, near, ja, en string) {
	line, column := c.place(field)
	c.problem(Problem{Line: line, Column: column, Field: field, Rule: Words{ja, en}, Nearest: near, Article: article})
}

// written reports whether the file has the field. A value that could not be
// read has been refused already; a second problem about its emptiness would
// only confuse.
func (c *checker) written(field string) bool {
	_, ok := c.places[field]
	return ok
}

// need refuses a field that is neither written nor filled by the profile.
func (c *checker) need(field, value string, article Article) {
	if value == "" && (!c.written(field) || !c.problemAt(field)) {
		c.refuse(field, article, "", "値が必要です。", "A value is needed here.")
	}
}

// problemAt reports whether a field, or something around it, is refused.
func (c *checker) problemAt(field string) bool {
	for ; field != ""; field = around(field) {
		if c.refused[field] {
			return true
		}
	}
	return false
}

// words refuses words without Japanese, which everything shown begins with.
func (c *checker) words(field string, w Words) {
	if w.JA == "" && !c.problemAt(field+".ja") {
		c.refuse(field+".ja", "", "", "日本語の言葉が必要です。", "The Japanese words are needed.")
	}
}

// once refuses the second of two ids.
type once map[string]string

func (seen once) check(c *checker, key, field string, article Article, ja, en string) {
	if key == "" {
		return
	}
	if first, twice := seen[key]; twice {
		line, _ := c.place(first)
		c.refuse(field, article, "", fmt.Sprintf("%s（%d行目と同じ）", ja, line), fmt.Sprintf("%s (the same as on line %d)", en, line))
		return
	}
	seen[key] = field
}

var plainID = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

func (c *checker) id(field, id string) {
	if id == "" {
		c.need(field, id, "")
		return
	}
	if !plainID.MatchString(id) {
		near := strings.Map(func(r rune) rune {
			switch {
			case r >= 'A' && r <= 'Z':
				return r + 'a' - 'A'
			case (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') || r == '_' || r == '-':
				return r
			}
			return '-'
		}, id)
		if !plainID.MatchString(near) {
			near = ""
		}
		c.refuse(field, "", near, "idは英小文字で始まり、英小文字・数字・_・- だけの63文字までとします。", "An id begins with a-z and has only a-z, 0-9, _ and -, at most 63.")
	}
}

func (c *checker) prefecture() {
	c.words("prefecture.name", c.p.Prefecture.Name)
	c.link("prefecture.guideline_url", c.p.Prefecture.GuidelineURL, "40")
	for i, w := range c.p.Prefecture.Words {
		c.need(fmt.Sprintf("prefecture.words[%d]", i), strings.TrimSpace(w), "46-2(3)")
	}
	for i, w := range c.p.Password.BlockWords {
		c.need(fmt.Sprintf("password.block_words[%d]", i), strings.TrimSpace(w), "46-2(3)")
	}
}

// link refuses an address that is no http or https page. Readers click it, so
// nothing else, such as javascript:, may stand there.
func (c *checker) link(field, address string, article Article) {
	if address == "" {
		return
	}
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil {
		c.refuse(field, article, "", "https:// か http:// で始まるアドレスを、利用者名なしで書いてください。", "Write an address that begins with https:// or http:// and names no user.")
	}
}

func (c *checker) zones() {
	if len(c.p.Zones) == 0 && !c.problemAt("zones") {
		c.refuse("zones", "26no2-1", "", "このゲートウェイが扱う領域を一つ書いてください。", "Name the zone this gateway serves.")
	}
	seen := once{}
	for i, z := range c.p.Zones {
		at := fmt.Sprintf("zones[%d]", i)
		c.need(at+".id", string(z.ID), "26no2-1")
		seen.check(c, string(z.ID), at+".id", "26no2-1", "同じ領域が二度書かれています。", "The zone is there twice.")
		if z.ID != "" {
			c.words(at+".name", z.Name)
		}
		if z.IdleEnd > z.AbsoluteEnd {
			c.refuse(at+".idle_end", "63-7", ShowDuration(z.AbsoluteEnd), "操作なしの終わり（idle_end）は、セッションの終わり（absolute_end）より長くできません。", "The idle end cannot be longer than the absolute end.")
		}
		if z.CounterIdleEnd > z.IdleEnd {
			c.refuse(at+".counter_idle_end", "38-6", ShowDuration(z.IdleEnd), "窓口の端末機の終わり（counter_idle_end）は、idle_end より長くできません。", "The idle end at a counter cannot be longer than the idle end.")
		}
		if z.DirectoryStale > z.AbsoluteEnd {
			c.refuse(at+".directory_stale", "62-2", ShowDuration(z.AbsoluteEnd), "古い職員情報を使う時間（directory_stale）は、absolute_end より長くできません。", "Stale facts cannot be used for longer than the absolute end.")
		}
		if z.ID == MyNumber && z.SignInACR != "" && !z.SignInACR.AtLeast(AAL2) && !c.deviates(DeviationDedicatedTerminals) {
			c.refuse(at+".sign_in_acr", "26no3-1", string(AAL2), "個人番号利用事務系のサインインは二つ以上の要素が必要です。専用端末機のログインが多要素なら、逸脱 mynumber_dedicated_terminals を記録してください。",
				"The mynumber zone takes two or more factors. Where dedicated terminals' own sign-in takes them, record the deviation mynumber_dedicated_terminals.")
		}
		if z.MailNotices && c.p.Mail.From == "" {
			c.refuse(at+".mail_notices", "", "false", "メールで通知するには mail.from に差出人が必要です。", "Notices by mail need a sender in mail.from.")
		}
	}
}

// deviates reports whether the file records a complete deviation. One that
// names no decision is refused where it stands and allows nothing.
func (c *checker) deviates(rule string) bool {
	d, ok := c.p.Deviates(rule)
	return ok && strings.TrimSpace(d.Decision) != "" && d.Decided != ""
}

// served refuses a zone that this gateway does not serve.
func (c *checker) served(field string, id ZoneID, article Article) {
	c.need(field, string(id), article)
	if id == "" || c.problemAt(field) {
		return
	}
	if _, ok := c.p.Zone(id); !ok {
		var ids []string
		for _, z := range c.p.Zones {
			ids = append(ids, string(z.ID))
		}
		near := Nearest(string(id), ids)
		if len(ids) == 1 {
			near = ids[0]
		}
		c.refuse(field, article, near, "このゲートウェイが扱わない領域です。", "This gateway does not serve the zone.")
	}
}

func (c *checker) matrix() {
	seen := once{}
	for i, x := range c.p.ZoneMatrix.Crossings {
		at := fmt.Sprintf("zone_matrix.crossings[%d]", i)
		c.need(at+".from", string(x.From), "26no4-1")
		c.need(at+".to", string(x.To), "26no4-1")
		c.need(at+".rule", x.Rule, "26no4-1")
		if x.From == "" || x.To == "" {
			continue
		}
		seen.check(c, string(x.From)+" "+string(x.To), at, "26no4-1", "同じ向きの通信が二度書かれています。", "The crossing is there twice.")
		if x.From == x.To {
			c.refuse(at+".to", "26no4-1", "", "同じ領域の中は通信の許可の対象ではありません。", "Within one zone nothing is crossed.")
		}
		direct := (x.From == MyNumber && x.To == Internet) || (x.From == Internet && x.To == MyNumber)
		if direct && x.Rule == CrossingPermit && !c.deviates(DeviationMyNumberInternet) {
			c.refuse(at+".rule", "26no2-3(3)", CrossingRefused, "個人番号利用事務系はインターネットと直接つなげません。公的機関のシステムに限り、CIOの決定を示した逸脱 mynumber_internet_crossing を記録してください。",
				"The mynumber zone is not linked to the Internet directly. For a public body's system, record the deviation mynumber_internet_crossing with the CIO's decision.")
		}
		if x.Rule == CrossingPermit && len(x.Methods) == 0 && !c.problemAt(at+".methods") {
			c.refuse(at+".methods", "26no2-3(2)", MethodLimitedPath, "通信を許す場合は方法を限ってください。", "A crossing that permits must say by which method.")
		}
		c.article(at+".article", x.Article)
	}
}

func (c *checker) article(field string, a Article) {
	if a != "" && !ValidArticle(a) {
		near := ""
		if number, _, _, ok := a.split(); ok && ValidArticle(Article(number)) {
			near = number
		}
		c.refuse(field, "", near, "要綱にない条・項・号です。", "The guideline has no such article, paragraph or item.")
	}
}

func (c *checker) classes() {
	seen := once{}
	for i, class := range c.p.Classes {
		at := fmt.Sprintf("classes[%d]", i)
		if (class.Class < 1 || class.Class > 4) && !c.problemAt(at+".class") {
			c.refuse(at+".class", "17(1)", fmt.Sprint(min(max(class.Class, 1), 4)), "重要度は1から4までです。", "A class is 1 to 4.")
			continue
		}
		seen.check(c, fmt.Sprint(class.Class), at+".class", "17", "同じ重要度が二度書かれています。", "The class is there twice.")
		if acr := class.ACR[MyNumber]; acr != "" && !acr.AtLeast(AAL2) {
			c.refuse(at+".acr.mynumber", "26no3-1", string(AAL2), "個人番号利用事務系のシステムは、重要度によらず二つ以上の要素が必要です。", "In the mynumber zone every class takes two or more factors.")
		}
	}
	if len(c.p.Classes) > len(seen) {
		return // one is there twice or out of range, and which of them counts is unknown
	}
	for i, class := range c.p.Classes {
		for _, graver := range c.p.Classes {
			for _, zone := range ZoneIDs() {
				if graver.Class < class.Class && class.ACR[zone].strength() > graver.ACR[zone].strength() && graver.ACR[zone] != "" && c.written(fmt.Sprintf("classes[%d].acr.%s", i, zone)) {
					c.refuse(fmt.Sprintf("classes[%d].acr.%s", i, zone), "17", string(graver.ACR[zone]),
						fmt.Sprintf("重要度%dに、より重い重要度%dより強い認証を求めています。", class.Class, graver.Class),
						fmt.Sprintf("Class %d asks for more than class %d, which is graver.", class.Class, graver.Class))
				}
			}
		}
	}
}

var mailAddress = regexp.MustCompile(`^[^\s@<>]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func (c *checker) texts() {
	a := c.p.Acknowledgement
	if a.Version != "" && a.Text.JA == "" {
		c.words("acknowledgement.text", a.Text)
	}
	if a.Version == "" && !a.Text.IsEmpty() {
		c.refuse("acknowledgement.version", "39", "", "同意を求めるには版（version）が必要です。", "An acknowledgement is asked for by its version.")
	}
	c.link("acknowledgement.url", a.URL, "39")
	if c.p.Banner.EN != "" {
		c.words("banner", c.p.Banner)
	}
	if from := c.p.Mail.From; from != "" && !mailAddress.MatchString(from) {
		c.refuse("mail.from", "", "", "メールアドレスを一つ書いてください。", "Write one mail address.")
	}
}

func (c *checker) passwords() {
	r := c.p.Password
	if r.MinLength > r.MaxLength {
		c.refuse("password.min_length", "46-2(3)", fmt.Sprint(r.MaxLength), "最小の文字数が最大の文字数を超えています。", "The least length is above the greatest.")
	}
	if r.MinLengthSingle > r.MaxLength {
		c.refuse("password.min_length_single", "46-2(3)", fmt.Sprint(r.MaxLength), "最小の文字数が最大の文字数を超えています。", "The least length is above the greatest.")
	}
	if r.MinLengthSingle < r.MinLength {
		c.refuse("password.min_length_single", "46-2(3)", fmt.Sprint(r.MinLength), "パスワードだけで入る場合は、多要素の場合より短くできません。", "A password that stands alone cannot be shorter than one beside a second factor.")
	}
	if !c.deviates(DeviationShortPasswords) {
		if r.MinLength < leastLength {
			c.refuse("password.min_length", "46-2(3)", "8", "8文字未満にするには逸脱 short_passwords を記録してください（NIST SP 800-63B-4 3.1.1.2）。", "Fewer than 8 characters need the deviation short_passwords (NIST SP 800-63B-4 3.1.1.2).")
		}
		if r.MinLengthSingle < leastLengthSingle {
			c.refuse("password.min_length_single", "46-2(3)", "15", "15文字未満にするには逸脱 short_passwords を記録してください（NIST SP 800-63B-4 3.1.1.2）。", "Fewer than 15 characters need the deviation short_passwords (NIST SP 800-63B-4 3.1.1.2).")
		}
	}
	if !c.deviates(DeviationPasswordExpiry) {
		if r.MaxAge > 0 {
			c.refuse("password.max_age", "62-7", "0", "期限を設けるには逸脱 password_expiry を記録してください（NIST SP 800-63B-4 3.1.1.2）。", "An age needs the deviation password_expiry (NIST SP 800-63B-4 3.1.1.2).")
		}
		if r.FiscalYearEnd {
			c.refuse("password.fiscal_year_end", "62-7", "false", "年度ごとの変更を求めるには逸脱 password_expiry を記録してください（NIST SP 800-63B-4 3.1.1.2）。", "A change each fiscal year needs the deviation password_expiry (NIST SP 800-63B-4 3.1.1.2).")
		}
	}
	if r.MinClasses > 0 && !c.deviates(DeviationPasswordClasses) {
		c.refuse("password.min_classes", "46-2(3)", "0", "文字の種類を求めるには逸脱 password_classes を記録してください（NIST SP 800-63B-4 3.1.1.2）。", "Kinds of characters need the deviation password_classes (NIST SP 800-63B-4 3.1.1.2).")
	}
	if r.MaxAge > 0 && r.MaxAge < 30*day {
		c.refuse("password.max_age", "62-7", ShowDuration(30*day), "期限を設けるなら30日以上とします。短い期限は推測しやすいパスワードを生みます。", "An age is at least 30 days; a shorter one breeds guessable passwords.")
	}
	if r.MaxAge > 0 && r.TemporaryEnd > r.MaxAge {
		c.refuse("password.temporary_end", "64-2", ShowDuration(r.MaxAge), "仮パスワードがパスワードの期限より長く使えます。", "A temporary password would outlive a real one.")
	}
}

func (c *checker) lockout() {
	r := c.p.Lockout
	if r.HardLimit <= r.FreeFailures {
		c.refuse("lockout.hard_limit", "63-7", fmt.Sprint(r.FreeFailures+1), "上限（hard_limit）は、待たせない回数（free_failures）より大きくなければなりません。", "The hard limit must be above the free failures.")
	}
	if r.HardLimit < leastHardLimit && !c.deviates(DeviationEarlyLockout) {
		c.refuse("lockout.hard_limit", "63-7", fmt.Sprint(leastHardLimit), "5回より前に認証手段を使えなくするには逸脱 early_lockout を記録してください。他人が数回間違えるだけで、本人のパスワードが使えなくなります（OWASP ASVS 6.1.1）。",
			"To end a factor before the fifth failure needs the deviation early_lockout: a stranger ends somebody's password with a few mistakes (OWASP ASVS 6.1.1).")
	}
	if r.KnownBrowserShare >= r.HardLimit {
		c.refuse("lockout.known_browser_share", "63-7", fmt.Sprint(max(r.HardLimit-1, 0)), "本人のブラウザに残す回数は、上限より小さくなければなりません。", "What is kept back for known browsers must be below the hard limit.")
	}
	if len(r.Delays) == 0 && !c.problemAt("lockout.delays") {
		c.refuse("lockout.delays", "63-7", "30s", "待たせる時間を一つ以上書いてください。", "Write at least one delay.")
	}
	if len(r.Delays) > 100 {
		c.refuse("lockout.delays", "63-7", "", "待たせる時間は100個までです。", "At most 100 delays.")
	}
	if c.p.SignIn.NoticeAfter > r.HardLimit {
		c.refuse("sign_in.notice_after", "63-7", fmt.Sprint(r.HardLimit), "知らせるまでの失敗の回数は、上限（hard_limit）を超えられません。そこまで失敗する前に認証手段が使えなくなります。", "A factor is dead at the hard limit, so a notice after more failures would never go out.")
	}
	for i := 1; i < len(r.Delays); i++ {
		if r.Delays[i] < r.Delays[i-1] {
			c.refuse(fmt.Sprintf("lockout.delays[%d]", i), "63-7", ShowDuration(r.Delays[i-1]), "待たせる時間は、前より短くできません。", "A delay cannot be shorter than the one before it.")
		}
	}
}

// times are the ends and days that must stand in one order.
func (c *checker) times() {
	s := c.p.Session
	if s.ElevatedIdleEnd > s.ElevatedAbsoluteEnd {
		c.refuse("session.elevated_idle_end", "65", ShowDuration(s.ElevatedAbsoluteEnd), "操作なしの終わりは、全体の終わりより長くできません。", "The idle end cannot be longer than the absolute end.")
	}
	if s.RevocationPoll >= s.RevocationStale {
		c.refuse("session.revocation_poll", "62-1", ShowDuration(s.RevocationStale/3), "読みに行く間隔は、古いとみなす長さより短くなければなりません。", "The poll must come oftener than its answer turns stale.")
	}
	if o := c.p.OpenID; o.RefreshIdleEnd > o.RefreshEnd {
		c.refuse("openid.refresh_idle_end", "62-1", ShowDuration(o.RefreshEnd), "使われない更新の終わりは、全体の終わりより長くできません。", "The idle end cannot be longer than the absolute end.")
	}
	years := []int{c.p.Retention.Class1Years, c.p.Retention.Class2Years, c.p.Retention.Class3Years, c.p.Retention.Class4Years}
	for i := 1; i < len(years); i++ {
		if years[i] > years[i-1] {
			c.refuse(fmt.Sprintf("retention.class%d_years", i+1), "51-2", fmt.Sprint(years[i-1]), "重要度の低い記録を、高い記録より長く残すことはできません。", "Records of a lesser class cannot be kept longer than those of a graver one.")
		}
	}
	if c.p.Retention.TrailYears < years[0] {
		c.refuse("retention.trail_years", "51-2", fmt.Sprint(years[0]), "証跡は、どの記録よりも長く残します。", "The trail is kept as long as any record.")
	}
}

func (c *checker) deviations() {
	ids, rules := once{}, once{}
	for i, d := range c.p.Deviations {
		at := fmt.Sprintf("deviations[%d]", i)
		c.id(at+".id", d.ID)
		ids.check(c, d.ID, at+".id", "80-3", "同じidが二度使われています。", "The id is used twice.")
		c.need(at+".rule", d.Rule, "80-1")
		rules.check(c, d.Rule, at+".rule", "80-3", "同じ逸脱が二度書かれています。", "The deviation is there twice.")
		c.words(at+".reason", d.Reason)
		if strings.TrimSpace(d.Decision) == "" && !c.problemAt(at+".decision") {
			c.refuse(at+".decision", "80-1", "", "CIOの決定の番号が必要です。", "The number of the CIO's decision is needed.")
		}
		c.need(at+".decided", d.Decided, "80-1")
		decided := c.date(at+".decided", d.Decided)
		until := c.date(at+".until", d.Until)
		if d.Until != "" && !until.IsZero() && until.Before(decided) {
			c.refuse(at+".until", "80-1", d.Decided, "終わりの日が決定の日より前です。", "The last day is before the decision.")
		}
	}
}

func (c *checker) date(field, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.ParseInLocation(dateForm, text, japan)
	if err != nil {
		c.refuse(field, "80-1", "", "日付を 2026-04-01 のように書いてください。", "Write a date such as 2026-04-01.")
	}
	return t
}
