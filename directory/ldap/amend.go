package ldap

import (
	"context"
	"fmt"

	"sekisho/directory"
	"sekisho/directory/schema"
)

// Amend brings about what is to be of a person, in one modification. An entry that the
// directory guards itself is left alone: directory.ErrProtected. Groups are AddMember's
// and RemoveMember's.
//
// Errors: directory.ErrNotFound, also where the DN is somebody else's by now;
// directory.ErrMalformed for what holds control characters, and for no name.
func (d *Directory) Amend(ctx context.Context, p directory.Person, a directory.Amendment) error {
	const doing = "amending a person"
	if p.Protected {
		return fmt.Errorf("%s: %w", doing, directory.ErrProtected)
	}
	s := &d.schema
	var fixed []schema.Change
	text := func(attribute string, v *string) error {
		switch {
		case v == nil || attribute == "":
		case *v == "":
			fixed = append(fixed, schema.Change{Attribute: attribute})
		case !directory.Wellformed(*v):
			return fmt.Errorf("%s: %w: the %s holds control characters or is too long", doing, directory.ErrMalformed, attribute)
		default:
			fixed = append(fixed, schema.Change{Attribute: attribute, Values: []string{*v}})
		}
		return nil
	}
	if a.Name != nil && *a.Name == "" {
		return fmt.Errorf("%s: %w: there is no name", doing, directory.ErrMalformed)
	}
	var kind *string
	if a.Kind != nil {
		v := string(*a.Kind)
		kind = &v
	}
	for _, one := range []struct {
		attribute string
		value     *string
	}{{s.DisplayName, a.Name}, {s.Mail, a.Mail}, {s.Section, a.Section}, {s.Company, a.Company}, {s.Number, a.Number}, {s.Kind, kind}} {
		if err := text(one.attribute, one.value); err != nil {
			return err
		}
	}
	if a.ExpiresAt != nil {
		fixed = append(fixed, s.End(*a.ExpiresAt)...)
	}
	if len(fixed) == 0 && a.Disabled == nil {
		return nil
	}
	return done(doing, d.alter(ctx, p, "", func(e schema.Entry) ([]schema.Change, error) {
		if a.Disabled == nil {
			return fixed, nil
		}
		change := s.Enable
		if *a.Disabled {
			change = s.Disable
		}
		more, err := change(e)
		return append(fixed[:len(fixed):len(fixed)], more...), err
	}))
}
