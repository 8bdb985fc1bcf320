package policy

import (
	"os"
	"testing"
)

func example(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestExampleParsesClean(t *testing.T) {
	p, problems := Parse("example.yaml", example(t))
	if err := problems.Err(); err != nil {
		t.Fatal(problems.Text("ja") + "\n" + problems.Text("en"))
	}
	if len(p.Zones) != 3 || len(p.Applications) != 3 || len(p.Posts) != 9 || len(p.Classes) != 4 {
		t.Errorf("%+v", p)
	}
}
