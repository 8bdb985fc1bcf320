package policy

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
