package policy

// A ZoneMatrix says between which zones a request may cross. Nothing crosses
// unless the model or a crossing of the file says so, and even then only with a
// live permit for its path (articles 26no2-2 and 26no4-1).
type ZoneMatrix struct {
	Model     string     `yaml:"model"`
	Crossings []Crossing `yaml:"crossings"` // instead of the model's, pair by pair
}

// The rules of a crossing.
const (
	CrossingRefused = "refused" // whatever permit there is
	CrossingPermit  = "permit"  // with a live permit of the path
)

// CrossingRules are the rules a crossing may have.
func CrossingRules() []string { return []string{CrossingRefused, CrossingPermit} }

// The ways in which data may cross, articles 26no2-3(2) and 26no4-2.
const (
	MethodScreenTransfer = "screen_transfer" // 画面転送
	MethodSanitised      = "sanitised"       // 無害化通信
	MethodLimitedPath    = "limited_path"    // 通信経路とプロトコルの限定
	MethodLocalBreakout  = "local_breakout"  // 特定のクラウドサービスへの直接接続
)

// CrossingMethods are the ways there are.
func CrossingMethods() []string {
	return []string{MethodScreenTransfer, MethodSanitised, MethodLimitedPath, MethodLocalBreakout}
}

// A Crossing is one direction between two zones.
type Crossing struct {
	From    ZoneID   `yaml:"from"`
	To      ZoneID   `yaml:"to"`
	Rule    string   `yaml:"rule"`
	Methods []string `yaml:"methods"`
	Article Article  `yaml:"article"`
}

// A ZoneModel is one of the four arrangements of the three zones that the
// ministry's guideline for local government describes.
type ZoneModel struct {
	ID            string
	Name          Words
	Summary       Words
	Desks         ZoneID // where the main terminals stand
	ExternalAudit bool   // article 26no5-3: terminals and important assets on the Internet side
	Crossings     []Crossing
}

// The models.
const (
	ModelAlpha      = "alpha"
	ModelAlphaPrime = "alpha_prime"
	ModelBeta       = "beta"
	ModelBetaPrime  = "beta_prime"
)

// ZoneModels are the arrangements there are. Crossings they do not list are
// refused.
func ZoneModels() []ZoneModel {
	permit := func(from, to ZoneID, article Article, methods ...string) Crossing {
		return Crossing{From: from, To: to, Rule: CrossingPermit, Methods: methods, Article: article}
	}
	// In every model the mynumber zone is linked to the LGWAN zone at most, by
	// a limited path that the CIO has allowed (26no2-2); never to the Internet.
	base := []Crossing{
		permit(MyNumber, LGWAN, "26no2-3(2)", MethodLimitedPath),
		permit(LGWAN, MyNumber, "26no2-3(2)", MethodLimitedPath),
	}
	with := func(more ...Crossing) []Crossing { return append(append([]Crossing(nil), base...), more...) }
	return []ZoneModel{
		{
			ID: ModelAlpha, Desks: LGWAN,
			Name:      Words{"αモデル", "Model α"},
			Summary:   Words{"業務端末と業務システムはLGWAN接続系に置き、インターネットは画面転送で見て、ファイルは無害化して取り込む。", "Desks and systems stand in the LGWAN zone; the Internet is seen by screen transfer and files come in sanitised."},
			Crossings: with(permit(LGWAN, Internet, "26no4-2(2)", MethodScreenTransfer), permit(Internet, LGWAN, "26no4-2(1)", MethodSanitised)),
		},
		{
			ID: ModelAlphaPrime, Desks: LGWAN,
			Name:      Words{"α′モデル", "Model α′"},
			Summary:   Words{"αモデルに加え、LGWAN接続系の端末から特定のクラウドサービスへ直接接続する。", "Model α, and the desks of the LGWAN zone reach chosen cloud services directly."},
			Crossings: with(permit(LGWAN, Internet, "26no4-1", MethodScreenTransfer, MethodLocalBreakout), permit(Internet, LGWAN, "26no4-2(1)", MethodSanitised)),
		},
		{
			ID: ModelBeta, Desks: Internet, ExternalAudit: true,
			Name:      Words{"βモデル", "Model β"},
			Summary:   Words{"主な業務端末をインターネット接続系に置き、LGWAN接続系の業務システムは画面転送で使う。", "The main desks stand in the Internet zone and use the LGWAN zone's systems by screen transfer."},
			Crossings: with(permit(Internet, LGWAN, "26no4-1", MethodScreenTransfer, MethodSanitised), permit(LGWAN, Internet, "26no4-1", MethodLimitedPath)),
		},
		{
			ID: ModelBetaPrime, Desks: Internet, ExternalAudit: true,
			Name:      Words{"β′モデル", "Model β′"},
			Summary:   Words{"βモデルに加え、人事給与や文書管理などの重要な業務システムもインターネット接続系に置く。", "Model β, and important systems such as personnel and documents stand in the Internet zone too."},
			Crossings: with(permit(Internet, LGWAN, "26no4-1", MethodScreenTransfer, MethodSanitised), permit(LGWAN, Internet, "26no4-1", MethodLimitedPath)),
		},
	}
}

// ModelInfo is the arrangement the prefecture has chosen.
func (m ZoneMatrix) ModelInfo() (ZoneModel, bool) {
	for _, model := range ZoneModels() {
		if model.ID == m.Model {
			return model, true
		}
	}
	return ZoneModel{}, false
}

// Between finds what holds for a request from one zone to another: the file's
// own crossing, else the model's, else a refusal. Within one zone nothing is
// crossed and the answer has no meaning; it is a refusal too.
func (m ZoneMatrix) Between(from, to ZoneID) Crossing {
	for _, c := range m.Crossings {
		if c.From == from && c.To == to {
			return c
		}
	}
	if model, ok := m.ModelInfo(); ok {
		for _, c := range model.Crossings {
			if c.From == from && c.To == to {
				return c
			}
		}
	}
	article := Article("26no4-1")
	if from == MyNumber || to == MyNumber {
		article = "26no2-1"
	}
	return Crossing{From: from, To: to, Rule: CrossingRefused, Article: article}
}
