package schema

import (
	"time"

	"sekisho/policy"
)

// A Residual is what goes on after a privilege was taken back in the directory:
// what was opened while it lasted, and that the directory cannot close. It is said
// where the end of a privilege is shown, so that somebody can close it by hand.
type Residual struct {
	ID    string
	Words policy.Words
	// Lasts is how long it may go on; 0: until somebody ends it.
	Lasts time.Duration
	// Accounts: it is about an ID that was lent, and not about a group.
	Accounts bool
}

var (
	openConnections = Residual{
		ID: "ldap_connections",
		Words: policy.Words{
			JA: "そのIDでつながったままのLDAP接続は、切れるまでその権限で使えます。",
			EN: "LDAP connections that are open under the ID keep its rights until they close.",
		},
	}
	openSessions = Residual{
		ID: "open_sessions",
		Words: policy.Words{
			JA: "開いたままのSSH、端末、業務システムの画面は、閉じるまで使えます。",
			EN: "Shells, terminals and application sessions that are open go on until they are closed.",
		},
	}
	cachedGroups = Residual{
		ID: "cached_groups",
		Words: policy.Words{
			JA: "グループを手元に控える機械（sssd は既定で90分、nscd は1時間）では、控えが古くなるまで権限が残ります。",
			EN: "Machines that cache groups (sssd for 90 minutes by default, nscd for an hour) keep the right until the copy is old.",
		},
		Lasts: 90 * time.Minute,
	}
)

var openLDAPResiduals = []Residual{openConnections, openSessions, cachedGroups}

var ds389Residuals = openLDAPResiduals

var activeDirectoryResiduals = []Residual{
	{
		ID: "kerberos_tickets",
		Words: policy.Words{
			JA: "発行済みのKerberosチケットには、発行のときのグループが入っています。既定では10時間使えます（klist purge、又はサインアウトで消えます）。",
			EN: "Kerberos tickets carry the groups of the moment they were issued, and are good for 10 hours by default (klist purge or signing out drops them).",
		},
		Lasts: 10 * time.Hour,
	},
	{
		ID: "open_rdp",
		Words: policy.Words{
			JA: "開いたままのリモートデスクトップ、PowerShell、ファイル共有は、サインインのときの権限のまま、切るまで使えます。",
			EN: "Remote desktops, PowerShell sessions and file shares that are open keep the rights of their sign-in until they are cut off.",
		},
	},
	{
		ID: "former_password",
		Words: policy.Words{
			JA: "変更前のパスワードは、ネットワーク認証で60分使えます（無効にしたIDでは使えません）。",
			EN: "The password before a change is good for network logons for 60 minutes (not with an ID that is disabled).",
		},
		Lasts: time.Hour, Accounts: true,
	},
	{
		ID: "replication",
		Words: policy.Words{
			JA: "ほかのドメインコントローラーには、複製が済むまで伝わりません（既定では同じサイトで15秒、サイト間は最短15分）。",
			EN: "Other domain controllers learn of it by replication (15 seconds within a site by default, 15 minutes or more between sites).",
		},
		Lasts: 15 * time.Minute,
	},
	{
		ID: "admin_count",
		Words: policy.Words{
			JA: "保護されたグループに属するグループに入った人には adminCount=1 が残り、ドメインが守り続けます。必要なら手で戻します。",
			EN: "Whoever was in a group inside a protected one keeps adminCount=1, and the domain goes on guarding them; undo it by hand if need be.",
		},
	},
}
