package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Change is one value that differs between two policies. Old is empty where
// there was none before, New where there is none any more.
type Change struct{ Path, Old, New string }

// Diff lists what changed, sorted by path. Items of lists are matched by what
// names them, so that moving one changes nothing: zones[lgwan].idle_end. A nil
// policy is an empty one.
func Diff(old, new *Policy) []Change {
	before, after := flatten(old), flatten(new)
	var changes []Change
	for path, was := range before {
		if is := after[path]; is != was {
			changes = append(changes, Change{path, was, is})
		}
	}
	for path, is := range after {
		if _, both := before[path]; !both {
			changes = append(changes, Change{path, "", is})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return changes
}

// flatten writes each value that says something under its path.
func flatten(p *Policy) map[string]string {
	out := make(map[string]string)
	if p != nil {
		flattenStruct(out, "", reflect.ValueOf(*p))
	}
	return out
}

func flattenStruct(out map[string]string, path string, v reflect.Value) {
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("yaml"); key != "" {
			flattenValue(out, join(path, key), v.Field(i))
		}
	}
}

func flattenValue(out map[string]string, path string, v reflect.Value) {
	switch value := v.Interface().(type) {
	case time.Duration:
		out[path] = ShowDuration(value)
		return
	case netip.Prefix:
		out[path] = value.String()
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		flattenStruct(out, path, v)
	case reflect.Map:
		for _, key := range v.MapKeys() {
			flattenValue(out, join(path, key.String()), v.MapIndex(key))
		}
	case reflect.Slice:
		flattenList(out, path, v)
	case reflect.String:
		if v.Len() > 0 {
			out[path] = v.String()
		}
	default:
		out[path] = fmt.Sprint(v.Interface())
	}
}

func flattenList(out map[string]string, path string, v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Struct {
		for i := range v.Len() {
			flattenStruct(out, fmt.Sprintf("%s[%s]", path, nameOf(v.Index(i).Interface())), v.Index(i))
		}
		return
	}
	var parts []string
	for i := range v.Len() {
		item := v.Index(i).Interface()
		if d, ok := item.(time.Duration); ok {
			parts = append(parts, ShowDuration(d))
		} else {
			parts = append(parts, fmt.Sprint(item))
		}
	}
	if len(parts) > 0 {
		out[path] = "[" + strings.Join(parts, ", ") + "]"
	}
}

// nameOf is what tells an item of a list from the others.
func nameOf(item any) string {
	switch v := item.(type) {
	case Zone:
		return string(v.ID)
	case Crossing:
		return string(v.From) + ">" + string(v.To)
	case Class:
		return fmt.Sprint(v.Class)
	case Post:
		return string(v.ID)
	case Section:
		return v.ID
	case Network:
		return v.Prefix.String()
	case Terminal:
		return v.ID
	case Application:
		return v.ID
	case Client:
		return v.ID
	case PathRule:
		return v.Path
	case PasskeyDemand:
		return v.name()
	case CardAuthority:
		return v.ID
	case Privilege:
		return v.ID
	case SharedID:
		return v.ID
	case Gift:
		return v.name()
	case Hours:
		return strings.Join(v.Days, " ") + " " + v.From
	case Deviation:
		return v.ID
	case PermitKind:
		return v.ID
	case PermitField:
		return v.ID
	case PermitConfirmation:
		return v.ID
	case PermitStep:
		return v.name()
	case Deputy:
		return v.ID
	case Duty:
		return v.ID
	case StandingDecision:
		return v.ID
	case ReportSchedule:
		return v.ID
	case RecertifyCampaign:
		return v.ID
	case PersonnelColumn:
		return v.Field
	}
	return fmt.Sprint(item)
}
