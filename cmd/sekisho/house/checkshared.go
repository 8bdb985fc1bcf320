package house

import (
	"context"
	"strings"

	"sekisho/authz/sealed"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// checkSharedIDs looks whether the policy shares an ID that lies sealed for emergencies:
// every check-out of it would be refused. It goes by the login that the directory has of
// it; where that cannot be read, which is said elsewhere, by the name that its DN begins
// with.
func checkSharedIDs(ctx context.Context, cfg Config, base clock.Now, rules *policy.Policy) []error {
	if len(rules.SharedIDs) == 0 {
		return nil
	}
	cfg.MayBeEmpty = true
	g, err := OpenGround(ctx, cfg, base)
	if err != nil {
		return nil // said with the rules
	}
	defer g.Close()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	login := func(string) string { return "" }
	if dir, err := asOurselves(ctx, cfg, base); err == nil {
		defer dir.Close()
		login = func(dn string) string {
			p, _ := dir.Lent(ctx, dn)
			return p.Login
		}
	}
	return sharedAndSealed(ctx, g.DB, rules, login)
}

func sharedAndSealed(ctx context.Context, in store.Reader, rules *policy.Policy, login func(dn string) string) []error {
	var found []error
	for i, s := range rules.SharedIDs {
		systems, err := sealed.Known(ctx, in, login(s.Account), s.Account)
		switch {
		case err != nil:
			return append(found, say.Errorf("緊急用IDの台帳を読めません（%[1]v）。データベースを確かめてください。", "the register of emergency IDs cannot be read (%[1]v); check the database", err))
		case len(systems) > 0:
			found = append(found, say.Errorf("shared_ids[%[1]d].account: %[2]s は、緊急用ID（%[3]s）として封印されているので、共用IDとして渡せません（第46条、第80条第2項）。共用IDの定めか緊急用IDの台帳の、どちらかから外してください。",
				"shared_ids[%[1]d].account: %[2]s lies sealed for emergencies (%[3]s), so it is not given out as a shared ID (articles 46, 80(2)); take it out of the shared IDs or off the register", i, s.Account, strings.Join(systems, ", ")))
		}
	}
	return found
}
