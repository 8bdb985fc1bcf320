package house

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/cmd/sekisho/say"
	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// within bounds how long a directory that does not answer is waited for.
const within = 10 * time.Second

// settingsOf are what each kind of directory calls the settings that its
// administrator is asked to change.
var settingsOf = map[string]struct{ threshold, dating, value string }{
	"openldap":         {"pwdMaxFailure", "pwdMinAge", "1"},
	"embedded":         {"pwdMaxFailure", "pwdMinAge", "1"},
	"active_directory": {threshold: "lockoutThreshold"}, // it always dates passwords
	"389ds":            {"passwordMaxFailure", "passwordTrackUpdateTime", "on"},
}

// asOurselves opens the directory as Sekisho itself.
func asOurselves(ctx context.Context, cfg Config, now clock.Now) (*ldap.Directory, error) {
	d := cfg.Directory
	if d.BindPassword.IsEmpty() {
		pw, err := secret.ReadFile(cfg.BindPasswordFile)
		if err != nil {
			return nil, say.Errorf("directory.bind_password_file: %[1]v。ファイルを確かめてください。", "directory.bind_password_file: %[1]v; check the file", err)
		}
		d.BindPassword = pw
	}
	dir, err := ldap.Open(ctx, d, now)
	if err != nil {
		return nil, say.Errorf("directory: %[1]v。設定の directory の項を直してください。", "directory: %[1]v; mend the directory section", err)
	}
	return dir, nil
}

// checkDirectory signs in as Sekisho itself, compares the directory's limits on
// failures with ours, and looks for rights that would be missed later.
func checkDirectory(ctx context.Context, cfg Config, now clock.Now, rules *policy.Policy) []error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if cfg.Directory.BindPassword.IsEmpty() && guarded("", cfg.BindPasswordFile) != nil {
		return nil // said with the other files
	}
	dir, err := asOurselves(ctx, cfg, now)
	if err != nil {
		return []error{err}
	}
	defer dir.Close()
	if err := dir.Ping(ctx); err != nil {
		return []error{directoryFault(err)}
	}
	return slices.Concat(checkLockouts(ctx, cfg, dir, rules.Lockout), checkRights(ctx, dir), checkLending(ctx, dir, rules))
}

func checkLockouts(ctx context.Context, cfg Config, dir *ldap.Directory, ours policy.LockoutRules) []error {
	called := settingsOf[cmp.Or(cfg.Directory.Schema, "openldap")]
	theirs, err := dir.LockoutPolicy(ctx)
	if err != nil {
		return []error{say.Errorf("directory.policy_dn: ディレクトリのパスワード方針を読めません（%[1]v）。policy_dn と閲覧の許可を確かめるか、stated_policy に書いてください。",
			"directory.policy_dn: the directory's password policy cannot be read (%[1]v); check policy_dn and that we may read it, or say in stated_policy what it is", err)}
	}
	var found []error
	if !theirs.DatesPasswords {
		found = append(found, say.Errorf("directory.policy_dn: ディレクトリがパスワードの変更日時を記録していないので、仮パスワードの期限を守れません。%[1]s を %[2]s にしてください。",
			"directory.policy_dn: the directory does not record when passwords change, so temporary ones are refused for want of an age; set %[1]s to %[2]s there", called.dating, called.value))
	}
	if err := CompareLockout(called.threshold, ours, theirs); err != nil {
		found = append(found, err)
	}
	// A few people may be under stricter rules than the rest.
	own, err := dir.OwnPolicies(ctx)
	if err != nil {
		return append(found, say.Errorf("directory: 個別のパスワード方針（PSO）を読めません（%[1]v）。閲覧を許可してください。読めるまで、その対象者は一度の失敗で待たされます。",
			"directory: fine-grained password policies cannot be read (%[1]v); let our account read them", err))
	}
	for _, p := range own {
		if p.Hidden {
			found = append(found, say.Errorf("directory: %[1]s の中身を読めません。閲覧を許可してください。読めるまで、その対象者のパスワードは一度の失敗で使えなくなります。",
				"directory: %[1]s shows us no values; let our account read it. Until then one wrong password disables that of whoever is under it", p.DN))
		} else if err := CompareLockout("msDS-LockoutThreshold ("+p.DN+")", ours, p.Lockout); err != nil {
			found = append(found, err)
		}
	}
	return found
}

// checkRights finds what our account may not see or write.
func checkRights(ctx context.Context, dir *ldap.Directory) []error {
	var found []error
	unreadable := func(what string) {
		found = append(found, say.Errorf("directory.bind_dn: 職員の %[1]s を読めません。閲覧を許可してください（docs/operations.md）。",
			"directory.bind_dn: our account cannot read %[1]s of people; grant it (docs/operations.md)", what))
	}
	r, err := dir.Rights(ctx)
	if err != nil {
		unreadable(err.Error())
		return found
	}
	if len(r.Unseen) > 0 {
		unreadable(strings.Join(r.Unseen, ", "))
	}
	if len(r.Unwritable) > 0 {
		found = append(found, say.Errorf("directory.bind_dn: 職員の %[1]s を書けません。書き込みを委任してください（docs/operations.md）。",
			"directory.bind_dn: our account cannot write %[1]s of people; delegate it (docs/operations.md)", strings.Join(r.Unwritable, ", ")))
	}
	// Somebody whole: what is asked for separately, such as their groups.
	if len(r.Unseen) == 0 && r.People > 0 {
		if _, _, err := dir.Search(ctx, "", "", 1); err != nil {
			unreadable(err.Error())
		}
	}
	return found
}

// Notes are what an operator should know and need not mend.
func Notes(ctx context.Context, cfg Config, now clock.Now) []error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var notes []error
	made, _ := checkStore(ctx, cfg.Store)
	rules, _ := rulesThatWouldBe(ctx, cfg, now, !made, true)
	for _, c := range rules.Cautions() {
		notes = append(notes, &say.Sentence{Words: policy.Words{JA: c.Text("ja"), EN: c.Text("en")}})
	}
	dir, err := asOurselves(ctx, cfg, now)
	if err != nil {
		return notes // a fault, and said as one
	}
	defer dir.Close()
	guarded, more, err := dir.Guarded(ctx)
	if err != nil || len(guarded) == 0 {
		return notes
	}
	names := strings.Join(guarded, ", ")
	if more {
		names += ", …"
	}
	return append(notes, say.Errorf("参考: ディレクトリが保護している人（adminCount）: %[1]s。関所はこの人たちの情報を変えられず、変えるべきでもありません。",
		"for your information: people whom the directory guards itself (adminCount): %[1]s; Sekisho cannot change them, nor should it", names))
}

func directoryFault(err error) error {
	if errors.Is(err, directory.ErrDenied) || goldap.IsErrorAnyOf(err, goldap.LDAPResultInvalidCredentials, goldap.LDAPResultNoSuchObject) {
		return say.Errorf("directory.bind_dn: ディレクトリが sekisho のサインインを断りました（%[1]v）。bind_dn とパスワードを確かめてください。",
			"directory.bind_dn: the directory refuses our own sign-in (%[1]v); check bind_dn and the password", err)
	}
	return say.Errorf("directory.servers: ディレクトリが応答しません（%[1]v）。アドレス、経路、証明書と、people_dn を確かめてください。",
		"directory.servers: the directory does not answer (%[1]v); check address, route and certificate, and people_dn", err)
}

// CompareLockout refuses a directory that would lock a person before Sekisho
// slows the guessing down: a stranger at our door could then lock people out of
// everything else that uses the directory. setting is what it calls its limit.
func CompareLockout(setting string, ours policy.LockoutRules, theirs directory.LockoutPolicy) error {
	if !theirs.Enabled || theirs.MaxFailures == 0 || theirs.MaxFailures > ours.HardLimit {
		return nil
	}
	if theirs.MaxFailures == 1 {
		return say.Errorf("directory: ディレクトリは一度の失敗で締め出します。%[1]s を %[2]d 以上にしてください。",
			"directory: it locks after a single failure; raise %[1]s to %[2]d or more", setting, ours.HardLimit+1)
	}
	return say.Errorf("directory: ディレクトリは %[1]d 回の失敗で締め出しますが、sekisho の限度は %[2]d 回です。%[5]s を %[3]d 以上にするか、方針の lockout.hard_limit を %[4]d 以下にしてください。",
		"directory: it locks after %[1]d failures and our limit is %[2]d; raise %[5]s to %[3]d or more, or lower lockout.hard_limit to %[4]d",
		theirs.MaxFailures, ours.HardLimit, ours.HardLimit+1, theirs.MaxFailures-1, setting)
}
