package policy

import "reflect"

// The profiles: where a file's numbers come from when it does not say them.
const (
	// ProfileStandard is that of NIST SP 800-63B-4 and the guideline.
	ProfileStandard = "standard"
	// ProfileLegacy is for a prefecture whose auditors hold passwords to older
	// ordinances: kinds of characters, an age, three strikes. NIST SP 800-63B-4
	// section 3.1.1.2 and ASVS 6.2.5 and 6.2.10 speak against them, so each is a
	// deviation with a decision of its own. Lengths, lists of common passwords and
	// second factors stay the standard's.
	ProfileLegacy = "jp-legacy"
)

// Profiles are the profiles a file may name.
func Profiles() []string { return []string{ProfileStandard, ProfileLegacy} }

// Standard is the profile standard: every setting at its default, the three
// zones, the four classes, the posts without their groups. It has no section,
// network, terminal or application. Each call makes a new one.
func Standard() *Policy {
	p := &Policy{Profile: ProfileStandard, ZoneMatrix: ZoneMatrix{Model: ModelAlpha}}
	fill(reflect.ValueOf(p).Elem(), "", "")
	for _, id := range ZoneIDs() {
		p.Zones = append(p.Zones, standardZone(id))
	}
	p.Classes = standardClasses()
	p.Posts = standardPosts()
	p.Permits = standardPermits()
	return p
}

// Legacy is the profile jp-legacy: the standard with the defaults that its
// settings name. Alone it is no policy that Parse would let through: the
// deviations and their decisions are the file's to record. Each call makes a new
// one.
func Legacy() *Policy {
	p := Standard()
	p.Profile = ProfileLegacy
	for _, s := range Settings() {
		if s.Legacy != nil {
			settle(reflect.ValueOf(p).Elem(), s.Path, s.Legacy)
		}
	}
	return p
}

// standardZone is a zone before its file says anything.
func standardZone(id ZoneID) Zone {
	z := Zone{ID: id}
	fill(reflect.ValueOf(&z).Elem(), "zones[]", id)
	switch id {
	case MyNumber:
		z.Name = Words{"個人番号利用事務系", "My Number zone"}
	case LGWAN:
		z.Name = Words{"LGWAN接続系", "LGWAN zone"}
	case Internet:
		z.Name = Words{"インターネット接続系", "Internet zone"}
	}
	return z
}

func standardClasses() []Class {
	class := func(n int, ja, en string, lgwan, internet ACR) Class {
		// 26no3-1 knows no classes: everything in the mynumber zone takes two factors.
		return Class{Class: n, Name: Words{ja, en}, ACR: map[ZoneID]ACR{MyNumber: AAL2, LGWAN: lgwan, Internet: internet}}
	}
	return []Class{
		class(1, "重要度1", "Class 1", AAL2, AAL2),
		class(2, "重要度2", "Class 2", AAL2, AAL2),
		class(3, "重要度3", "Class 3", AAL1, AAL2),
		class(4, "重要度4", "Class 4", AAL1, AAL1),
	}
}

func standardPosts() []Post {
	return []Post{
		{ID: Staff, Name: Words{"職員", "Staff"}, Article: "5"},
		{ID: Contractor, Name: Words{"事業者", "Contractor"}, Article: "41"},
		{ID: SystemAdministrator, Name: Words{"情報システム管理者", "System administrator"}, Administers: true, Article: "14"},
		{ID: SystemOperator, Name: Words{"情報システム担当者", "System operator"}, Administers: true, Article: "15"},
		{ID: SecurityManager, Name: Words{"情報セキュリティ管理者", "Security manager"}, Approves: true, Article: "13"},
		{ID: SecurityOfficer, Name: Words{"情報セキュリティ責任者", "Security officer"}, Approves: true, Article: "12"},
		{ID: CIO, Name: Words{"CIO", "CIO"}, Approves: true, Article: "11"},
		{ID: CSIRT, Name: Words{"CSIRT", "CSIRT"}, Administers: true, Article: "11no2"},
		{ID: Auditor, Name: Words{"監査者", "Auditor"}, Audits: true, Article: "82"},
	}
}
