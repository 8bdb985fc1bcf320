package policy

import (
	"fmt"
	"slices"
)

// An Environment is what a system is for: work as it is, or its making and trying out.
// IDs are of one of the two, and applications open to those of theirs (article 68).
// The zero value is read as production, which asks for most.
type Environment string

// The environments. EitherEnvironment is no ID's: an application of it, such as one where
// those who will use a system take it over from those who made it, opens to both.
const (
	Production        Environment = "production"  // 運用環境
	Development       Environment = "development" // 開発、保守及びテスト環境
	EitherEnvironment Environment = "either"
)

// Environments are those that an application or a privilege may be of.
func Environments() []Environment { return []Environment{Production, Development, EitherEnvironment} }

// IDEnvironments are those that an ID may be of.
func IDEnvironments() []Environment { return []Environment{Production, Development} }

// Effective is the environment that is meant: production where nothing was said.
func (e Environment) Effective() Environment {
	if e == "" {
		return Production
	}
	return e
}

// Opens reports whether what is of this environment opens to an ID of another. What is
// not known opens to nobody.
func (e Environment) Opens(to Environment) bool {
	switch e, to := e.Effective(), to.Effective(); e {
	case EitherEnvironment:
		return to == Production || to == Development
	case Production, Development:
		return e == to
	}
	return false
}

// Covers reports whether what is of this environment is for everybody whom another is for.
func (e Environment) Covers(other Environment) bool {
	return e.Effective() == EitherEnvironment || e.Effective() == other.Effective()
}

// lentWithin refuses a demand for a privilege that is not lent to everybody whom an
// application is for: those of the other environment would stand before a door to which
// nobody gives them the key.
func (c *checker) lentWithin(field string, v Privilege, of Environment) {
	if v.Environment.Covers(of) || c.problemAt(field) {
		return
	}
	c.refuse(field, "68-2", "",
		"特権 "+v.ID+" の環境（"+string(v.Environment.Effective())+"）は、このシステムの環境（"+string(of.Effective())+"）と合いません。同じ環境か、共通（either）の特権にしてください。",
		"The environment of the privilege "+v.ID+" ("+string(v.Environment.Effective())+") does not fit the application's ("+string(of.Effective())+"); ask for a privilege of the same environment, or of either.")
}

// opensWithin refuses a gift of roles at an application that does not open to everybody
// whom the privilege is lent to.
func (c *checker) opensWithin(field string, app Application, of Environment) {
	if app.ID == "" || app.Environment.Covers(of) || c.problemAt(field) {
		return
	}
	c.refuse(field, "68-2", "",
		"このシステムの環境（"+string(app.Environment.Effective())+"）は、特権の環境（"+string(of.Effective())+"）と合いません。特権の environment を、システムと同じにしてください。",
		"The application's environment ("+string(app.Environment.Effective())+") does not fit the privilege's ("+string(of.Effective())+"); give the privilege the application's environment.")
}

// sameThing refuses a group or an ID that privileges of different environments lend: what
// it opens is of one environment, and the other would be a way around.
func (c *checker) sameThing(at string, i int, v Privilege) {
	for j, g := range v.Gives {
		for _, dn := range slices.Concat(g.GroupDNs(), []string{g.Account}) {
			for _, before := range c.p.Privileges[:i] {
				if dn == "" || v.Environment.Effective() == before.Environment.Effective() || !slices.ContainsFunc(before.Gives, func(o Gift) bool {
					return slices.ContainsFunc(slices.Concat(o.GroupDNs(), []string{o.Account}), func(had string) bool { return had != "" && SameDN(had, dn) })
				}) {
					continue
				}
				if field := fmt.Sprintf("%s.gives[%d]", at, j); !c.problemAt(field) {
					c.refuse(field, "68-2", "", "同じグループ又はIDを、環境の違う特権 "+before.ID+" も貸しています。開発と運用とで、別のものにしてください。",
						"The privilege "+before.ID+", of another environment, lends the same group or ID; take one of its own for each environment.")
				}
			}
		}
	}
}
