package connector

import (
	"os/exec"
	"strings"
	"testing"
)

// TestTheLeavesKnowNothingOfEachOther keeps the arrows as they are: cmd →
// connector → coupa, schemas, checkpoint; and one importer of hamba/avro.
func TestTheLeavesKnowNothingOfEachOther(t *testing.T) {
	const module = "github.com/coupastream/coupastream/"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		from := strings.TrimPrefix(words[0], module)
		tree, _, _ := strings.Cut(from, "/")
		for _, to := range words[1:] {
			if strings.HasPrefix(to, "github.com/hamba/avro") && from != "schemas" {
				t.Errorf("%s imports %s; schemas alone may", from, to)
			}
			to, ours := strings.CutPrefix(to, module)
			other, _, _ := strings.Cut(to, "/")
			if !ours || tree == other || tree == "cmd" {
				continue
			}
			if tree != "connector" || other == "cmd" {
				t.Errorf("%s imports %s", from, to)
			}
		}
	}
}
