package connector_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/coupastream/coupastream/"

// arrows are what of ours each package of this tree imports, and all that
// it may. Names are those below connector/, but for the leaves'. A package
// that is not here imports nothing of ours, or is internal to one.
var arrows = map[string]string{
	"connector": "contract explain group lineage replay listing stream sweep polls shard record status metrics notify config configtopic logging transport internal/chores internal/clock checkpoint coupa",
	"rest":      "connector contract explain sweep shard status config logging rest/security checkpoint",

	// The rooms. What a commit is made by and applied with is in shard alone.
	"group":    "config logging transport",
	"stream":   "exported sweep listing sample polls shard record status config internal/chores internal/clock internal/failpoint checkpoint coupa",
	"shard":    "group record metrics status config logging internal/clock internal/failpoint internal/txn checkpoint schemas",
	"record":   "status config internal/clock internal/failpoint checkpoint coupa schemas schemas/custom schemas/rowtext schemas/mapping schemas/registry",
	"contract": "config schemas",
	"explain":  "record status config internal/clock internal/txn checkpoint coupa schemas",
	"lineage":  "status config coupa schemas",
	"listing":  "status internal/clock coupa",
	"sample":   "record status config coupa schemas",
	"replay":   "record status config internal/clock internal/txn checkpoint coupa schemas",
	"metrics":  "status config transport coupa",
	"status":   "config internal/clock checkpoint coupa",
	"exported": "shard record status internal/clock internal/failpoint checkpoint coupa",
	"sweep":    "listing record status config internal/clock checkpoint coupa schemas",

	"preflight":     "record config internal/clock internal/txn checkpoint schemas schemas/registry",
	"verify":        "record config internal/clock coupa schemas",
	"configtopic":   "status internal/clock internal/txn",
	"internal/txn":  "internal/clock",
	"notify":        "internal/clock coupa",
	"transport":     "config internal/reload schemas/registry",
	"config":        "config/internal/foreign egress coupa schemas schemas/avroname schemas/custom schemas/mapping schemas/nearest schemas/registry",
	"rest/security": "config internal/reload transport coupa",
	"rest/ui":       "rest rest/security",
	"rest/agents":   "rest rest/security",
}

// importers are who alone may import a module of others, tests aside.
var importers = map[string][]string{
	"github.com/hamba/avro/":          {"schemas"},
	"github.com/twmb/franz-go/pkg/sr": {"schemas/registry", "cmd/coupastream/internal/embedded", "deploy/consumers/go"},
	"cel.dev/cel-go/":                 {"schemas/mapping"},
	"go.etcd.io/bbolt":                {"checkpoint"},

	"github.com/modelcontextprotocol/": {"connector/rest/agents"},
}

// TestTheLeavesKnowNothingOfEachOther keeps the arrows as they are: cmd → connector/rest → connector → its
// rooms → coupa, schemas, checkpoint, with those between rooms as the table has them.
func TestTheLeavesKnowNothingOfEachOther(t *testing.T) {
	used := map[string][]string{}
	for from, imports := range importsOf(t) {
		tree, _, _ := strings.Cut(from, "/")
		room := strings.TrimPrefix(from, "connector/")
		for _, to := range imports {
			for other, allowed := range importers {
				if strings.HasPrefix(to, other) && !slices.Contains(allowed, from) {
					t.Errorf("%s imports %s; of ours, %v alone may", from, to, allowed)
				}
			}
			if from == "connector/stream" && strings.HasPrefix(to, "github.com/twmb/franz-go/") {
				t.Errorf("%s imports %s; it reads Coupa, and what goes to Kafka is the shard's affair", from, to)
			}
			to, ours := strings.CutPrefix(to, module)
			other, _, _ := strings.Cut(to, "/")
			to = strings.TrimPrefix(to, "connector/")
			switch {
			case !ours || tree == "cmd":
			case tree != "connector" && tree != other, other == "cmd":
				t.Errorf("%s imports %s", from, to)
			case tree == "connector" && !isInternal(room):
				used[room] = append(used[room], to)
				if !slices.Contains(strings.Fields(arrows[room]), to) {
					t.Errorf("%s imports %s; if that is meant, say so in arrows, and in both their doc.go", from, to)
				}
			}
		}
	}
	for from, allowed := range arrows {
		for _, to := range strings.Fields(allowed) {
			if !slices.Contains(used[from], to) {
				t.Errorf("arrows has %s → %s, which nobody needs", from, to)
			}
		}
	}
}

// isInternal tells of what is below one room and serves that alone; what is in connector/internal serves
// all, and imports nothing of ours.
func isInternal(room string) bool { return strings.Contains(room, "/internal/") }

// importsOf is what each package imports, whatever the build tags, but for its tests. It reads the files
// itself: what a test reads is known to go test, which else would give the result of an earlier run.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	goFiles(t, "..", func(path, text string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		from, err := filepath.Rel("..", filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		from = filepath.ToSlash(from)
		for _, spec := range file.Imports {
			if to, err := strconv.Unquote(spec.Path.Value); err == nil && !slices.Contains(all[from], to) {
				all[from] = append(all[from], to)
			}
		}
	})
	return all
}
