# Fills a domain that samba-tool has provisioned and nobody serves yet: units,
# the accounts of Sekisho, their delegated rights, the password policy.
import json
import sys

import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

conf, o = sys.argv[1], json.loads(sys.argv[2])
lp = LoadParm()
lp.load(conf)
db = SamDB(lp=lp, session_info=system_session())
sd = SDUtils(db)
base = str(db.domain_dn())


def intervals(seconds):
    return str(-int(seconds * 10_000_000))


def settings(dn, **values):
    m = ldb.Message(ldb.Dn(db, dn))
    for name, value in values.items():
        name = name.replace("_", "-")
        m[name] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name)
    db.modify(m)


settings(
    base,
    lockoutThreshold=str(o["failures"]), lockoutDuration=intervals(o["lock"]), lockOutObservationWindow=intervals(o["window"]),
    minPwdAge="0", maxPwdAge=intervals(o["age"]), minPwdLength=str(o["length"]), pwdHistoryLength=str(o["history"]), pwdProperties="0",
)
for unit in "people", "groups", "admins", "services":
    db.add({"dn": "OU=%s,%s" % (unit, base), "objectClass": "organizationalUnit"})


def account(name, password):
    dn = "CN=%s,OU=services,%s" % (name, base)
    db.add({
        "dn": dn, "objectClass": "user", "sAMAccountName": name, "userAccountControl": "66048",
        "unicodePwd": ('"%s"' % password).encode("utf-16-le"),
    })
    return db.schema_format_value("objectSid", db.search(dn, ldb.SCOPE_BASE)[0]["objectSid"][0]).decode()


sid = account("sekisho", o["password"])
account("reader", o["password"])

# Least privilege: what docs/operations.md tells an administrator to delegate.
user, group = "bf967aba-0de6-11d0-a285-00aa003049e2", "bf967a9c-0de6-11d0-a285-00aa003049e2"
reset = "00299570-246d-11d0-a768-00aa006e0529"
writable = (
    "bf967a0a-0de6-11d0-a285-00aa003049e2",  # pwdLastSet
    "28630ebf-41d5-11d1-a9c1-0000f80367c1",  # lockoutTime
    "bf967a68-0de6-11d0-a285-00aa003049e2",  # userAccountControl
    "bf967915-0de6-11d0-a285-00aa003049e2",  # accountExpires
    "bf967953-0de6-11d0-a285-00aa003049e2",  # displayName, and what else personnel changes write
    "bf967961-0de6-11d0-a285-00aa003049e2",  # mail
    "be9ef6ee-cbc7-4f22-b27b-96967e7ee585",  # departmentNumber
    "f0f8ff88-1191-11d0-a060-00aa006c33ed",  # company
    "a8df73ef-c5ea-11d1-bbcb-0080c76670c0",  # employeeNumber
    "a8df73f0-c5ea-11d1-bbcb-0080c76670c0",  # employeeType
)
people = "(OA;CI;CCDC;%s;;%s)(OA;CIIO;RPLC;;%s;%s)(OA;CIIO;CR;%s;%s;%s)" % (user, sid, user, sid, reset, user, sid)
people += "".join("(OA;CIIO;WP;%s;%s;%s)" % (attribute, user, sid) for attribute in writable)
members = "(OA;CIIO;WP;bf9679c0-0de6-11d0-a285-00aa003049e2;%s;%s)" % (group, sid)
for dn, aces in (
    ("OU=people," + base, people),
    ("OU=admins," + base, people),
    ("OU=groups," + base, members),
    ("CN=Password Settings Container,CN=System," + base, "(A;CI;RPLCLORC;;;%s)" % sid),
):
    sd.dacl_add_ace(dn, aces)
