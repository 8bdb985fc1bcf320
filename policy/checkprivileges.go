package policy

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// privileges are what is lent. What makes its borrower an approver, or lets one
// lease lead to the next, is refused here: nobody becomes powerful alone (design
// rule 7, article 16-1).
func (c *checker) privileges() {
	ids := once{}
	for i, v := range c.p.Privileges {
		at := fmt.Sprintf("privileges[%d]", i)
		c.id(at+".id", v.ID)
		ids.check(c, v.ID, at+".id", "62-6", "同じidが二度使われています。", "The id is used twice.")
		if slices.Contains(PostIDs(), PostID(v.ID)) {
			// Applications are told posts and privileges in one list.
			c.refuse(at+".id", "62-6", "", "役割のidは、特権のidに使えません。システムが役割と取り違えます。", "A post's id is no privilege's: applications would take one for the other.")
		}
		c.words(at+".name", v.Name)
		c.gifts(at, v)
		c.borrowers(at+".eligible", v.Eligible)
		c.lenders(at+".approvers", v.Approvers)
		c.sameThing(at, i, v)
		c.spans(at, v)
		c.hours(at+".hours", v.Hours)
		if v.Ticket != "" {
			c.pattern(at+".ticket", v.Ticket)
		}
		if v.TwoPerson && v.Emergency {
			c.refuse(at+".emergency", "49-3", "false", "二人で行う特権は、緊急時に一人で使うものにはできません。緊急用の特権を別に定めてください。",
				"What takes two people is not taken by one in an emergency; name another privilege for that.")
		}
	}
}

func (c *checker) gifts(at string, v Privilege) {
	if len(v.Gives) == 0 && !c.problemAt(at+".gives") {
		c.refuse(at+".gives", "62-6", "", "この特権が与えるもの（gives）を一つ以上書いてください。", "Write at least one thing that it gives (gives).")
	}
	if len(v.Gives) > 16 {
		c.refuse(at+".gives", "62-6", "", "与えるものは16個までです。", "At most 16 gifts.")
	}
	seen := once{}
	for j, g := range v.Gives {
		field := fmt.Sprintf("%s.gives[%d]", at, j)
		if c.need(field+".kind", g.Kind, "62-6"); g.Kind == "" || c.problemAt(field+".kind") {
			continue
		}
		seen.check(c, g.name(), field, "62-6", "同じものが二度書かれています。", "The same gift is there twice.")
		for _, own := range []struct{ key, kind string }{
			{"group", GiftGroup}, {"account", GiftAccount}, {"under", GiftEphemeral}, {"prefix", GiftEphemeral},
			{"groups", GiftEphemeral}, {"application", GiftApplication}, {"roles", GiftApplication},
		} {
			if g.Kind != own.kind && c.written(field+"."+own.key) {
				c.refuse(field+"."+own.key, "62-6", "", "この種類（"+g.Kind+"）には書けない項目です。", "A gift of the kind "+g.Kind+" has no such key.")
			}
		}
		switch g.Kind {
		case GiftGroup:
			c.lentGroup(field+".group", g.Group)
		case GiftAccount:
			c.entryDN(field+".account", g.Account)
		case GiftEphemeral:
			c.entryDN(field+".under", g.Under)
			if !loginPrefix.MatchString(g.Prefix) && !c.problemAt(field+".prefix") {
				c.refuse(field+".prefix", "62-3", "", "ログイン名の始まりを、英小文字で始まる英小文字・数字・- の2〜8文字で書いてください。", "Write what its login begins with: 2 to 8 of a-z, 0-9 and -, beginning with a letter.")
			}
			for k, dn := range g.Groups {
				c.lentGroup(fmt.Sprintf("%s.groups[%d]", field, k), dn)
			}
		case GiftApplication:
			c.toApplication(field, g, v.Environment)
		}
	}
	if secrets := slices.DeleteFunc(slices.Clone(v.Gives), func(g Gift) bool { return !g.ShowsSecret() }); len(secrets) > 1 {
		c.refuse(at+".gives", "62-6", "", "パスワードを示すID（account、ephemeral）は、一つの特権に一つまでです。", "One privilege gives one ID with a password (account, ephemeral) at most.")
	}
}

// loginPrefix leaves room for what makes an ephemeral login unique within the 20
// characters of Active Directory's sAMAccountName.
var loginPrefix = regexp.MustCompile(`^[a-z][a-z0-9-]{1,7}$`)

func (c *checker) entryDN(field, dn string) {
	if c.need(field, dn, "62-6"); dn == "" {
		return
	}
	if len(splitDN(dn)) < 2 || !strings.Contains(dn, "=") {
		c.refuse(field, "62-6", "", "DN（cn=…,ou=…）を書いてください。", "Write the DN (cn=…,ou=…).")
	}
}

// lentGroup refuses a group that carries a post, and one that makes its members
// eligible for a privilege: a lease must not lead to the next.
func (c *checker) lentGroup(field, dn string) {
	c.entryDN(field, dn)
	if dn == "" || c.problemAt(field) {
		return
	}
	if c.p.CarriesPost(dn) {
		c.refuse(field, "16-1", "", "職を持つグループは貸せません。借りた人が承認や管理をできることになります。", "A group that carries a post is not lent: its borrower could approve, or administer others.")
		return
	}
	for _, other := range c.p.Privileges {
		if slices.ContainsFunc(other.Eligible.Groups, func(g string) bool { return SameDN(g, dn) }) {
			c.refuse(field, "16-1", "", "このグループは特権 "+other.ID+" を申請できる人を決めています。借りた特権で次の特権を得ることはできません。", "This group says who may ask for "+other.ID+"; one lease must not lead to another.")
			return
		}
	}
}

var plainRole = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$`)

func (c *checker) toApplication(field string, g Gift, of Environment) {
	if c.need(field+".application", g.Application, "62-6"); g.Application != "" {
		app, found := c.p.Application(g.Application)
		client, program := c.p.Client(g.Application)
		if !found && program {
			app, found = c.p.ClientApplication(client)
		}
		c.opensWithin(field+".application", app, of)
		if !found && !program {
			var ids []string
			for _, a := range c.p.Applications {
				ids = append(ids, a.ID)
			}
			for _, x := range c.p.Clients {
				ids = append(ids, x.ID)
			}
			c.refuse(field+".application", "62-6", Nearest(g.Application, ids), "知らないシステムです。", "This application is not known.")
		}
	}
	roles := once{}
	for k, role := range g.Roles {
		at := fmt.Sprintf("%s.roles[%d]", field, k)
		roles.check(c, role, at, "62-6", "同じ役割が二度書かれています。", "The role is there twice.")
		if !plainRole.MatchString(role) {
			c.refuse(at, "62-6", "", "役割は英数字と . _ : - の63文字までで書いてください。", "A role is of letters, digits and . _ : -, at most 63.")
		}
	}
	if len(g.Roles) > 32 {
		c.refuse(field+".roles", "62-6", "", "役割は32個までです。", "At most 32 roles.")
	}
}

func (c *checker) borrowers(at string, e Eligible) {
	if len(e.Posts)+len(e.Groups)+len(e.Sections)+len(e.Persons) == 0 && !c.problemAt(at) {
		c.refuse(at, "62-6", "", "申請できる人（posts、groups、sections、persons）を書いてください。特権を使う職員は必要最小限とします。", "Say who may ask (posts, groups, sections, persons): privilege is for the fewest people.")
	}
	for j, id := range e.Posts {
		if post, ok := c.post(id); ok && post.Audits {
			c.refuse(fmt.Sprintf("%s.posts[%d]", at, j), "16-2", "", "監査する職は特権を借りられません。", "A post that audits borrows nothing.")
		}
	}
	for j, dn := range e.Groups {
		c.entryDN(fmt.Sprintf("%s.groups[%d]", at, j), dn)
	}
	for j, id := range e.Sections {
		if _, ok := c.known[id]; !ok && !c.problemAt(fmt.Sprintf("%s.sections[%d]", at, j)) {
			c.refuse(fmt.Sprintf("%s.sections[%d]", at, j), "62-6", Nearest(id, c.ids), "知らない部局・室課です。", "This section is not known.")
		}
	}
	for j, login := range e.Persons {
		c.need(fmt.Sprintf("%s.persons[%d]", at, j), strings.TrimSpace(login), "62-6")
	}
}

// post is a post as the file has it, or else as the profile does: the checks
// come before the two are put beside each other.
func (c *checker) post(id PostID) (Post, bool) {
	if post, ok := c.p.Post(id); ok {
		return post, true
	}
	for _, post := range standardPosts() {
		if post.ID == id {
			return post, true
		}
	}
	return Post{}, false
}

func (c *checker) lenders(at string, a Approvers) {
	if len(a.Posts) == 0 && !c.problemAt(at+".posts") {
		c.refuse(at+".posts", "16-1", string(SecurityManager), "承認する職を書いてください。", "Name the posts that approve.")
	}
	posts := once{}
	for j, id := range a.Posts {
		field := fmt.Sprintf("%s.posts[%d]", at, j)
		posts.check(c, string(id), field, "16-1", "同じ職が二度書かれています。", "The post is there twice.")
		if post, ok := c.post(id); ok && !post.Approves && !c.problemAt(field) {
			c.refuse(field, "16-1", string(SecurityManager), "この職は承認する職ではありません。", "This post does not approve.")
		}
	}
	if a.All && a.Quorum < len(a.Posts) && c.written(at+".quorum") && !c.problemAt(at+".quorum") {
		c.refuse(at+".quorum", "16-1", fmt.Sprint(len(a.Posts)), "すべての職の承認（all）には、職の数だけの人が要ります。", "With all, it takes as many persons as there are posts.")
	}
}

func (c *checker) spans(at string, v Privilege) {
	if v.Usual > v.Longest && !c.problemAt(at+".usual") {
		c.refuse(at+".usual", "65", ShowDuration(v.Longest), "ふだんの時間（usual）は、最長の時間（longest）より長くできません。", "The usual time cannot be longer than the longest.")
	}
	if v.Emergency && v.EmergencyLongest > v.Longest && !c.problemAt(at+".emergency_longest") {
		c.refuse(at+".emergency_longest", "80-2", ShowDuration(v.Longest), "承認のない緊急の利用は、最長の時間（longest）より長くできません。", "What nobody approved cannot last longer than the longest time.")
	}
	if v.TwoPerson && v.WitnessEvery >= v.Longest && !c.problemAt(at+".witness_every") {
		c.refuse(at+".witness_every", "49-3", ShowDuration(v.Longest/2), "立会人は、終わりより前に少なくとも一度は確認します。", "The second person confirms at least once before the end.")
	}
}

func (c *checker) hours(at string, hours []Hours) {
	for j, h := range hours {
		field := fmt.Sprintf("%s[%d]", at, j)
		from, okFrom := minutes(h.From)
		until, okUntil := minutes(h.Until)
		for _, side := range []struct {
			key string
			ok  bool
		}{{"from", okFrom}, {"until", okUntil}} {
			if !side.ok && !c.problemAt(field+"."+side.key) {
				c.refuse(field+"."+side.key, "65", "", "時刻を 08:30 のように引用符で囲んで書いてください（日本時間、24:00まで）。", `Write a time of day such as "08:30", in quotes (Japan time, to 24:00).`)
			}
		}
		if okFrom && okUntil && from >= until {
			c.refuse(field+".until", "65", "24:00", "終わりは始まりより後にしてください。夜をまたぐときは、24:00までと00:00からの二つに分けます。", "The end comes after the beginning; a night is two: one to 24:00, one from 00:00.")
		}
		days := once{}
		for k, d := range h.Days {
			days.check(c, d, fmt.Sprintf("%s.days[%d]", field, k), "65", "同じ曜日が二度書かれています。", "The day is there twice.")
		}
	}
}

// pattern refuses an expression that cannot be read, or that every ticket fits.
func (c *checker) pattern(field, text string) {
	if len(text) > 200 {
		c.refuse(field, "62-6", "", "票の形は200文字までです。", "A ticket's pattern has 200 characters at most.")
		return
	}
	read, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		c.refuse(field, "62-6", "", "票の形を正規表現（RE2）として読めません。", "The ticket's pattern cannot be read as a regular expression (RE2).")
		return
	}
	if pattern, err := regexp.Compile(`^(?:` + read.String() + `)$`); err != nil || pattern.MatchString("") {
		c.refuse(field, "62-6", "", "空の票も通る形です。票を求めないなら、この項目を消してください。", "An empty ticket would fit; take the key out where none is asked for.")
	}
}
