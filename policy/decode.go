package policy

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	prefixType   = reflect.TypeFor[netip.Prefix]()
	durationType = reflect.TypeFor[time.Duration]()
	wordsType    = reflect.TypeFor[Words]()
	zoneType     = reflect.TypeFor[Zone]()
	postType     = reflect.TypeFor[Post]()
	classType    = reflect.TypeFor[Class]()
	demandType   = reflect.TypeFor[PasskeyDemand]()
	cardType     = reflect.TypeFor[CardAuthority]()
	clientType   = reflect.TypeFor[Client]()
	appType      = reflect.TypeFor[Application]()
	lentType     = reflect.TypeFor[Privilege]()
	sharedType   = reflect.TypeFor[SharedID]()
	permitType   = reflect.TypeFor[PermitKind]()
	stepType     = reflect.TypeFor[PermitStep]()
	scheduleType = reflect.TypeFor[ReportSchedule]()
	campaignType = reflect.TypeFor[RecertifyCampaign]()
	fieldType    = reflect.TypeFor[PermitField]()
)

// decode writes a node into v. field is the place in this file, with indexes;
// path is the place in the type, with [] for them, by which settings and
// choices are found.
func (d *document) decode(v reflect.Value, n *node, field, path string) {
	if n.form == formNull {
		d.wrong(n, field, "値がありません。消すか、値を書いてください。", "There is no value; write one or take the key out.", "")
		return
	}
	switch {
	case v.Type() == durationType:
		d.decodeDuration(v, n, field, path)
	case v.Type() == prefixType:
		d.decodePrefix(v, n, field)
	case v.Kind() == reflect.Struct:
		d.decodeStruct(v, n, field, path)
	case v.Kind() == reflect.Slice:
		d.decodeList(v, n, field, path)
	case v.Kind() == reflect.Map:
		d.decodeMap(v, n, field, path)
	case v.Kind() == reflect.Int:
		d.decodeInt(v, n, field, path)
	case v.Kind() == reflect.Bool:
		if n.form != formFlag {
			d.wrong(n, field, "true か false を書いてください。", "Write true or false.", Nearest(n.text, []string{"true", "false"}))
			return
		}
		v.SetBool(n.text == "true")
	default:
		d.decodeText(v, n, field, path)
	}
}

func (d *document) wrong(n *node, field, ja, en, near string) {
	d.problem(Problem{Line: n.line, Column: n.column, Field: field, Rule: Words{ja, en}, Nearest: near})
}

func (d *document) decodeStruct(v reflect.Value, n *node, field, path string) {
	if n.form != formMap {
		ja, en := "「項目: 値」の形で書いてください。", "Write keys with values here."
		if v.Type() == wordsType {
			ja, en = "「{ja: …, en: …}」の形で書いてください。", "Write {ja: …, en: …} here."
		}
		d.wrong(n, field, ja, en, "")
		return
	}
	fields := make(map[string]reflect.Value, v.NumField())
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "" {
			continue
		}
		fields[name] = v.Field(i)
		names = append(names, name)
	}
	for _, e := range n.entries {
		at := join(field, e.key)
		f, known := fields[e.key]
		if !known {
			d.problem(Problem{Line: e.line, Column: e.column, Field: at, Nearest: Nearest(e.key, names),
				Rule: Words{"知らない項目です。", "This key is not known."}})
			continue
		}
		d.decode(f, e.value, at, join(path, e.key))
	}
}

func (d *document) decodeList(v reflect.Value, n *node, field, path string) {
	if n.form != formList {
		d.wrong(n, field, "「- 値」の並びで書いてください。", "Write a list here.", "")
		return
	}
	items := reflect.MakeSlice(v.Type(), 0, len(n.items))
	for i, item := range n.items {
		v := reflect.New(v.Type().Elem()).Elem()
		startFrom(v, item)
		d.decode(v, item, fmt.Sprintf("%s[%d]", field, i), path+"[]")
		items = reflect.Append(items, v)
	}
	v.Set(items)
}

// startFrom gives an item of the file what the profile says about it.
func startFrom(v reflect.Value, n *node) {
	id := func(key string) string {
		if n.form == formMap && n.get(key) != nil {
			return n.get(key).text
		}
		return ""
	}
	switch v.Type() {
	case zoneType:
		v.Set(reflect.ValueOf(standardZone(ZoneID(id("id")))))
	case postType:
		for _, p := range standardPosts() {
			if string(p.ID) == id("id") {
				v.Set(reflect.ValueOf(p))
			}
		}
	case classType:
		for _, c := range standardClasses() {
			if strconv.Itoa(c.Class) == id("class") {
				v.Set(reflect.ValueOf(c))
			}
		}
	case demandType:
		fill(v, "passkey.demands[]", "")
	case cardType:
		fill(v, "cards[]", "")
	case clientType:
		fill(v, "clients[]", "")
	case appType:
		fill(v, "applications[]", "")
	case lentType:
		fill(v, "privileges[]", "")
	case sharedType:
		fill(v, "shared_ids[]", "")
	case permitType:
		fill(v, "permits[]", "")
		for _, k := range standardPermits() {
			if k.ID == id("id") {
				v.Set(reflect.ValueOf(k))
			}
		}
	case scheduleType:
		fill(v, "reports.schedule[]", "")
	case campaignType:
		fill(v, "recertification.campaigns[]", "")
	case fieldType:
		fill(v, "permits[].fields[]", "")
	case stepType:
		fill(v, "permits[].steps[]", "")
	}
}

// decodeMap reads the one map there is, from zones to assurances. What the file
// leaves out stays as the profile has it.
func (d *document) decodeMap(v reflect.Value, n *node, field, path string) {
	if n.form != formMap {
		d.wrong(n, field, "「領域: 強さ」の形で書いてください。", "Write zone: assurance here.", "")
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, e := range n.entries {
		at := join(field, e.key)
		if zones := texts(ZoneIDs()); !contains(zones, e.key) {
			d.problem(Problem{Line: e.line, Column: e.column, Field: at, Nearest: Nearest(e.key, zones),
				Rule: Words{"知らない領域です。", "This zone is not known."}})
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, e.value, at, path+"{}")
		v.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), value)
	}
}

func (d *document) decodeInt(v reflect.Value, n *node, field, path string) {
	number, err := strconv.Atoi(n.text)
	if n.form != formNumber || err != nil || strconv.Itoa(number) != n.text {
		d.wrong(n, field, "整数を十進で書いてください。", "Write a whole decimal number.", "")
		return
	}
	v.SetInt(int64(number))
	d.bounds(n, field, path, int64(number))
}

func (d *document) decodeDuration(v reflect.Value, n *node, field, path string) {
	duration, err := time.ParseDuration(n.text)
	if err != nil || (n.form != formText && n.text != "0") {
		d.wrong(n, field, "時間を 15m、9h、30s のように書いてください。", "Write a duration such as 15m, 9h or 30s.", nearestDuration(n.text))
		return
	}
	v.SetInt(int64(duration))
	d.bounds(n, field, path, int64(duration))
}

// nearestDuration reads what people write when they mean a duration: a number
// of days, which Go's syntax does not have, or a bare number.
func nearestDuration(text string) string {
	days, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
	switch {
	case err != nil || days < 0 || days > 3660:
		return ""
	case strings.HasSuffix(text, "d"):
		return ShowDuration(time.Duration(days) * day)
	}
	return text + "m"
}

func (d *document) bounds(n *node, field, path string, value int64) {
	s, ok := settingsByPath[path]
	if !ok {
		return
	}
	if near, ok := s.within(value); !ok {
		d.problem(Problem{Line: n.line, Column: n.column, Field: field, Nearest: s.show(near), Article: s.Article,
			Rule: Words{
				fmt.Sprintf("%s から %s までの値を書いてください。%s", s.show(number(s.Min)), s.show(number(s.Max)), s.Says.JA),
				fmt.Sprintf("The value must lie between %s and %s. %s", s.show(number(s.Min)), s.show(number(s.Max)), s.Says.EN)}})
	}
}

func (d *document) decodePrefix(v reflect.Value, n *node, field string) {
	prefix, err := netip.ParsePrefix(n.text)
	if n.form != formText || err != nil {
		near := ""
		if addr, err := netip.ParseAddr(n.text); err == nil {
			near = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()).String()
		}
		d.wrong(n, field, "ネットワークを 10.1.0.0/16 のように書いてください。", "Write a network such as 10.1.0.0/16.", near)
		return
	}
	if prefix.Addr().Is4In6() {
		d.wrong(n, field, "IPv4のネットワークはIPv4の形で書いてください。", "Write an IPv4 network in IPv4 form.", "")
		return
	}
	if prefix != prefix.Masked() {
		d.wrong(n, field, "長さより後ろのビットは0でなければなりません。", "The bits beyond the length must be zero.", prefix.Masked().String())
		return
	}
	v.Set(reflect.ValueOf(prefix))
}

const maxText = 16 << 10 // runes; the longest text is an acknowledgement

func (d *document) decodeText(v reflect.Value, n *node, field, path string) {
	// An unquoted 2026.1 is a number to YAML and a version to its writer.
	if n.form != formText && n.form != formNumber {
		d.wrong(n, field, "文字で書いてください。true や no を文字として書くときは引用符で囲みます。", "Write text here; put quotes around words such as true.", "")
		return
	}
	if utf8.RuneCountInString(n.text) > maxText {
		d.wrong(n, field, "長すぎます。", "This is too long.", "")
		return
	}
	v.SetString(n.text)
	if choices, ok := choicesAt(path); ok && !contains(choices, n.text) {
		d.wrong(n, field, "次のどれかを書いてください: "+strings.Join(choices, "、"), "Write one of: "+strings.Join(choices, ", ")+".", Nearest(n.text, choices))
	}
}

// choicesAt are the words that a field of the type may hold.
func choicesAt(path string) ([]string, bool) {
	if s, ok := settingsByPath[path]; ok && s.Kind == KindChoice {
		return s.Choices, true
	}
	switch path {
	case "profile":
		return Profiles(), true
	case "zones[].id", "networks[].zone", "terminals[].zone", "applications[].zone", "clients[].zone", "shared_ids[].zone", "zone_matrix.crossings[].from", "zone_matrix.crossings[].to", "cards[].zones[]", "permits[].confirm[].zone":
		return texts(ZoneIDs()), true
	case "zone_matrix.model":
		var ids []string
		for _, m := range ZoneModels() {
			ids = append(ids, m.ID)
		}
		return ids, true
	case "zone_matrix.crossings[].rule":
		return CrossingRules(), true
	case "zone_matrix.crossings[].methods[]":
		return CrossingMethods(), true
	case "classes[].acr{}", "applications[].acr", "applications[].paths[].acr", "clients[].acr":
		return texts(ACRs()), true
	case "posts[].id", "applications[].posts[]", "clients[].posts[]", "passkey.demands[].posts[]",
		"personnel.viewers[]", "privileges[].eligible.posts[]", "shared_ids[].eligible.posts[]", "privileges[].approvers.posts[]", "approval.deputies[].post", "approval.duty[].posts[]", "permits[].askers[]", "permits[].steps[].posts[]":
		return texts(PostIDs()), true
	case "privileges[].gives[].kind":
		return GiftKinds(), true
	case "privileges[].hours[].days[]":
		return Weekdays(), true
	case "terminals[].class":
		return TerminalClasses(), true
	case "clients[].scopes[]":
		return ClientScopes(), true
	case "approval.standing[].kinds[]":
		return StandingKinds(), true
	case "approval.standing[].hours[].days[]":
		return WorkWeek(), true
	case "personnel.columns[].field":
		return personnelFieldIDs(), true
	case "cards[].subject":
		return CardSubjects(), true
	case "deviations[].rule":
		var ids []string
		for _, r := range DeviationRules() {
			ids = append(ids, r.ID)
		}
		return ids, true
	}
	return nil, false
}

func texts[T ~string](of []T) []string {
	out := make([]string, len(of))
	for i, v := range of {
		out[i] = string(v)
	}
	return out
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
