package policy

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// leaves lists the paths of a type's values, with [] and {} for items.
func leaves(typ reflect.Type, path string, visit func(path string, typ reflect.Type)) {
	switch {
	case typ == prefixType || typ == durationType:
		visit(path, typ)
	case typ.Kind() == reflect.Struct:
		for i := range typ.NumField() {
			if key := typ.Field(i).Tag.Get("yaml"); key != "" {
				leaves(typ.Field(i).Type, join(path, key), visit)
			} else if typ.Field(i).IsExported() {
				visit(path+"."+typ.Field(i).Name+" without a key", typ.Field(i).Type)
			}
		}
	case typ.Kind() == reflect.Slice:
		leaves(typ.Elem(), path+"[]", visit)
	case typ.Kind() == reflect.Map:
		leaves(typ.Elem(), path+"{}", visit)
	default:
		visit(path, typ)
	}
}

// TestEveryNumberIsASetting holds the type and the table together: a number
// without a setting has no bounds, and a setting without a field governs
// nothing.
func TestEveryNumberIsASetting(t *testing.T) {
	isClass := func(path string) bool {
		return path == "classes[].class" || path == "applications[].class" || path == "clients[].class"
	}
	all := map[string]reflect.Type{}
	leaves(reflect.TypeFor[Policy](), "", func(path string, typ reflect.Type) {
		if strings.Contains(path, "without a key") {
			t.Error(path)
		}
		all[path] = typ
		if _, ok := settingsByPath[path]; !ok && (typ == durationType || typ.Kind() == reflect.Int) && !isClass(path) {
			t.Errorf("%s is a number and no setting", path)
		}
	})
	for _, s := range Settings() {
		typ, ok := all[s.Path]
		switch {
		case !ok:
			t.Errorf("setting %s is no field", s.Path)
		case (s.Kind == KindDuration) != (typ == durationType), (s.Kind == KindInt) != (typ.Kind() == reflect.Int), (s.Kind == KindFlag) != (typ.Kind() == reflect.Bool):
			t.Errorf("setting %s is a %s, its field a %v", s.Path, s.Kind, typ)
		}
	}
	if len(settingsByPath) != len(Settings()) {
		t.Error("a setting is there twice")
	}
}

func TestSettingsAreSound(t *testing.T) {
	for _, s := range Settings() {
		if s.Says.JA == "" || s.Says.EN == "" || s.Article == "" && s.Source == "" {
			t.Errorf("%s does not say what it does or why", s.Path)
		}
		if s.Kind == KindChoice && !slices.Contains(s.Choices, s.Default.(string)) {
			t.Errorf("%s: the default is no choice", s.Path)
		}
		if s.Kind != KindInt && s.Kind != KindDuration {
			continue
		}
		if s.Unit == "" || number(s.Min) > number(s.Max) {
			t.Errorf("%s: unit %q, from %v to %v", s.Path, s.Unit, s.Min, s.Max)
		}
		values := []any{s.Default}
		if s.Legacy != nil {
			values = append(values, s.Legacy)
		}
		for _, v := range s.ByZone {
			values = append(values, v)
		}
		if delays, ok := s.Default.([]time.Duration); ok {
			values = nil
			for _, d := range delays {
				values = append(values, d)
			}
		}
		for _, v := range values {
			if near, ok := s.within(number(v)); !ok {
				t.Errorf("%s: default %v is out of bounds, nearest %v", s.Path, v, s.show(near))
			}
		}
	}
}

// TestStandard holds the profile to security.md.
func TestStandard(t *testing.T) {
	p := Standard()
	l := p.Lockout
	if l.FreeFailures != 4 || l.HardLimit != 50 || l.Delays[0] != 30*time.Second || l.Delays[len(l.Delays)-1] != time.Hour {
		t.Errorf("lockout %+v", l)
	}
	if r := p.Password; r.MinLength != 12 || r.MinLengthSingle != 15 || r.MaxLength != 128 || r.MaxAge != 0 || r.TemporaryEnd != 24*time.Hour || !r.AutofillDiscouraged {
		t.Errorf("password %+v", r)
	}
	if p.TOTP.Skew != 1 || p.SignIn.FlowEnd != 10*time.Minute || p.SignIn.FreshFor != 10*time.Minute {
		t.Errorf("totp %+v, sign-in %+v", p.TOTP, p.SignIn)
	}
	if k := p.Passkey; k.CeremonyEnd != 5*time.Minute || k.MaxKeys != 5 || k.Roots != nil || k.Demands != nil || p.Cards != nil || p.Recovery.CodeEnd != 24*time.Hour {
		t.Errorf("passkey %+v, cards %+v, recovery %+v", k, p.Cards, p.Recovery)
	}
	if p.Session.ElevatedACR != PHR || p.SignIn.NoticeAfter != 1 {
		t.Errorf("session %+v, sign-in %+v", p.Session, p.SignIn)
	}
	if d := p.Dormancy; d.WarnDays != 60 || d.DisableDays != 90 || d.DeleteDays != 365 {
		t.Errorf("dormancy %+v", d)
	}
	for id, want := range map[ZoneID][2]time.Duration{MyNumber: {8 * time.Hour, 15 * time.Minute}, LGWAN: {9 * time.Hour, 30 * time.Minute}, Internet: {9 * time.Hour, 30 * time.Minute}} {
		z, ok := p.Zone(id)
		if !ok || z.AbsoluteEnd != want[0] || z.IdleEnd != want[1] || z.SignInACR != AAL2 || z.CounterIdleEnd > 3*time.Minute {
			t.Errorf("zone %s: %+v", id, z)
		}
	}
	p.Lockout.Delays[0] = 0
	p.Classes[0].ACR[LGWAN] = AAL1
	if again := Standard(); again.Lockout.Delays[0] == 0 || again.Classes[0].ACR[LGWAN] == AAL1 {
		t.Error("two profiles share their parts")
	}
}

// TestLegacy holds the profile to the ordinances that it is for (security.md
// section 1.3): three kinds of characters, a year, the third failure; and to the
// standard in everything else.
func TestLegacy(t *testing.T) {
	got := Diff(Standard(), Legacy())
	want := []Change{
		{"lockout.free_failures", "4", "2"}, {"lockout.hard_limit", "50", "3"}, {"lockout.known_browser_share", "10", "0"},
		{"password.max_age", "0s", "8760h"}, {"password.min_classes", "0", "3"}, {"profile", "standard", "jp-legacy"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("the profile differs in\n%v\nwant\n%v", got, want)
	}
}

func TestSettingsMarkdownNamesAll(t *testing.T) {
	for _, lang := range []string{"ja", "en"} {
		text := SettingsMarkdown(lang)
		for _, s := range Settings() {
			if !strings.Contains(text, "| `"+s.Path+"` | "+s.Says.In(lang)) {
				t.Errorf("%s: %s is missing", lang, s.Path)
			}
		}
		if rows := strings.Count(text, "\n"); rows != len(Settings())+2 {
			t.Errorf("%s: %d rows", lang, rows)
		}
	}
}

func TestShowDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		15 * time.Minute: "15m", 9 * time.Hour: "9h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 0: "0s",
		time.Minute + time.Second: "1m1s", 250 * time.Millisecond: "250ms", 2160 * time.Hour: "2160h", 30 * time.Second: "30s",
	} {
		if got := ShowDuration(d); got != want {
			t.Errorf("ShowDuration(%v) = %q, want %q", d, got, want)
		}
	}
}
