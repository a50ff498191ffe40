package deploy

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest/security"
)

// documents are the paths of all Markdown files and llms.txt below a folder, relative to it.
func documents(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		made := slices.Contains([]string{"node_modules", "bin", "dist"}, name) // of which git knows nothing
		hidden := strings.HasPrefix(name, ".") && name != ".github"
		if d.IsDir() && path != root && (made || hidden) {
			return fs.SkipDir
		}
		if !d.IsDir() && (strings.HasSuffix(name, ".md") || name == "llms.txt") {
			rel, err := filepath.Rel(root, path)
			all = append(all, filepath.ToSlash(rel))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// block is a fenced block of a document.
type block struct{ language, text string }

// parts separates the fenced blocks of a document from the rest.
func parts(document string) (blocks []block, prose string) {
	var rest, inside strings.Builder
	fence, language := "", ""
	for line := range strings.Lines(document) {
		text := strings.TrimLeft(line, " ")
		switch mark, isFence := strings.CutPrefix(text, "```"); {
		case isFence && fence == "":
			fence, language = line[:len(line)-len(text)]+"```", strings.TrimSpace(mark)
		case isFence:
			blocks = append(blocks, block{language, inside.String()})
			fence = ""
			inside.Reset()
		case fence != "":
			inside.WriteString(strings.TrimPrefix(line, strings.TrimSuffix(fence, "```")))
		default:
			rest.WriteString(line)
		}
	}
	return blocks, rest.String()
}

// anchors are what GitHub names the headings of a document.
func anchors(document string) map[string]bool {
	_, prose := parts(document)
	all := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^#{1,6} +(.*?)[ #]*$`).FindAllStringSubmatch(prose, -1) {
		name := anchor(h[1])
		for n, first := 1, name; all[name]; n++ {
			name = fmt.Sprintf("%s-%d", first, n)
		}
		all[name] = true
	}
	return all
}

// anchor is what GitHub names a heading: in lower case, with - for each space, and of the other characters
// letters, digits, - and _ alone.
func anchor(heading string) string {
	heading = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(heading, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// links are the targets of a document's links.
func links(document string) []string {
	_, prose := parts(document)
	code := regexp.MustCompile("`[^`]*`")
	link := regexp.MustCompile(`\[[^\[\]]*\]\(([^()\s]+)[^()]*\)|(?m)^ *\[[^\]]+\]: +(\S+)`)
	var all []string
	for paragraph := range strings.SplitSeq(prose, "\n\n") {
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(paragraph, ""), -1) {
			all = append(all, l[1]+l[2])
		}
	}
	return all
}

// ours is where files of this repository are on GitHub.
var ours = regexp.MustCompile(`^https://github\.com/coupastream/coupastream/(?:blob|tree)/main/`)

// deadLinks are the links of a document below root that lead to no file, or to no heading of one.
func deadLinks(root, document string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		return nil, err
	}
	var dead []string
	for _, link := range links(string(text)) {
		target, folder := link, filepath.Dir(document)
		if at := ours.FindString(link); at != "" {
			target, folder = link[len(at):], ""
		}
		u, err := url.Parse(target)
		if err != nil || u.Scheme != "" {
			if err != nil {
				dead = append(dead, link)
			}
			continue
		}
		path := filepath.Join(root, folder, filepath.FromSlash(u.Path))
		if u.Path == "" {
			path = filepath.Join(root, document)
		}
		if _, err := os.Stat(path); err != nil || strings.HasPrefix(u.Path, "/") {
			dead = append(dead, link)
			continue
		}
		if u.Fragment == "" {
			continue
		}
		other, err := os.ReadFile(path)
		if err != nil || !strings.HasSuffix(path, ".md") || !anchors(string(other))[u.Fragment] {
			dead = append(dead, link)
		}
	}
	return dead, nil
}

func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	all := documents(t, "..")
	for _, known := range []string{"README.md", "deploy/RUNBOOK.md", ".github/CONTRIBUTING.md"} {
		if !slices.Contains(all, known) {
			t.Errorf("%s is not among the documents", known)
		}
	}
	for _, document := range all {
		dead, err := deadLinks("..", document)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range dead {
			t.Errorf("%s: a link leads nowhere: %s", document, link)
		}
	}
}

// README goes into archives, and so does what those who run the program or read its topics are sent to from
// there. Documents for who works on the code stay with the code.
func TestArchivesHaveTheDocumentsThatReadmeSendsTo(t *testing.T) {
	var c releaseConfig
	if err := yaml.Unmarshal([]byte(read(t, "../.goreleaser.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, f := range c.Archives[0].Files {
		there = append(there, f.Src)
	}
	for _, to := range links(read(t, "../README.md")) {
		path, _, _ := strings.Cut(to, "#")
		if strings.HasSuffix(path, ".md") && !strings.HasPrefix(path, ".github/") && !slices.Contains(there, path) {
			t.Errorf("README.md links to %s, which is in no archive", path)
		}
	}
}

func TestDeadLinksAreFound(t *testing.T) {
	root := t.TempDir()
	add(t, filepath.Join(root, "there.md"), "# It's `there`, twice\n# It's there, twice\n```sh\n# no heading\n```\n## I am … → read\n## [linked](x.md) snake_case\n")
	add(t, filepath.Join(root, "below", "code.go"), "package below\n")
	for link, alive := range map[string]bool{
		"there.md": true, "below": true, "below/code.go": true, "#own": true, "https://example.com/x#y": true,
		"there.md#its-there-twice": true, "there.md#its-there-twice-1": true, "there.md#i-am---read": true, "there.md#linked-snake_case": true,
		"https://github.com/coupastream/coupastream/blob/main/there.md": true, "./there.md": true,
		"there.md#its-there-twice-2": false, "there.md#no-heading": false, "there.md#It's": false, "elsewhere.md": false, "/there.md": false,
		"#other": false, "below/there.md": false, "below/code.go#L1": false, "https://github.com/coupastream/coupastream/blob/main/no.md": false,
	} {
		for form, text := range map[string]string{
			"inline": "see [`it`](" + link + ")", "with a title": "[it](" + link + ` "a title")`, "reference": "[it]\n\n[it]: " + link,
			"in a table": "| a `|` | [it](" + link + ") |",
		} {
			path := filepath.Join(root, "from.md")
			if err := os.WriteFile(path, []byte("# Own\n\n`[x](nowhere.md)`\n\n```\n[x](nowhere.md)\n```\n\n"+text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			dead, err := deadLinks(root, "from.md")
			if err != nil || len(dead) > 1 || (len(dead) == 0) != alive {
				t.Errorf("%s, %s: dead: %q (%v)", link, form, dead, err)
			}
		}
	}
}

// Where its input is no terminal, kcat takes itself for a producer unless it is told -C.
func TestNoCommandMakesKcatAProducer(t *testing.T) {
	commands := 0
	for _, document := range documents(t, "..") {
		for _, line := range regexp.MustCompile(`(?m)^ *kcat (.*)$`).FindAllStringSubmatch(read(t, "../"+document), -1) {
			if commands++; !strings.HasPrefix(line[1], "-C ") {
				t.Errorf("%s: kcat %s", document, line[1])
			}
		}
	}
	if commands == 0 {
		t.Error("there is none")
	}
}

// Each task says how it was tried: by a test that there is, or not at all. Commands are those that a test
// runs.
func TestTasksSayHowTheyWereTried(t *testing.T) {
	var tests strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			tests.WriteString(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	player := read(t, "../connector/internal/e2e/tasks_test.go")
	for _, section := range strings.Split(read(t, "TASKS.md"), "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		if !strings.Contains(text, "**Played") && !strings.Contains(text, "*not played*") {
			t.Errorf("%s: neither played nor not played", heading)
		}
		for _, name := range regexp.MustCompile("`(Test\\w+)").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(tests.String(), "\nfunc "+name[1]+"(") {
				t.Errorf("%s: there is no %s", heading, name[1])
			}
		}
		if strings.Contains(text, "```sh") && !strings.Contains(player, fmt.Sprintf("%q:", heading)) {
			t.Errorf("%s: no test runs its commands", heading)
		}
	}
}

// The least of a worker and of a connector, for documents that show some keys alone.
const (
	leastWorker    = "\nbootstrap.servers: localhost:9092\nschema.registry.url: http://localhost:8081\n"
	leastConnector = "\nname: acme\ncoupa.url: https://acme.coupahost.com\ncoupa.client.id: id\ncoupa.client.secret: ${env:COUPA_CLIENT_SECRET}\n"
)

// checked is what is known of the configurations of one document.
type checked struct {
	dir        string
	seen       int
	worker     *config.Worker
	connectors []*config.Connector
}

func someEnv(string) (string, bool) { return "planted:secret-of-a-test", true }

// check checks a block of YAML, JSON or properties, which has to be something that is known.
func (c *checked) check(t *testing.T, b block) error {
	t.Helper()
	c.seen++
	if b.language == "json" {
		return c.checkJSON(b.text)
	}
	if b.language == "properties" {
		return c.load(t, b.text, ".properties")
	}
	var top map[string]any
	if err := yaml.Unmarshal([]byte(b.text), &top); err != nil {
		return err
	}
	has := func(key string) bool { _, ok := top[key]; return ok }
	switch {
	case has("objects"):
		return checkMapping(b.text, slices.Collect(maps.Keys(top["objects"].(map[string]any))))
	case has("users"), has("tokens"), has("certificates"):
		return c.checkAccounts(t, b.text)
	case has("groups"):
		return checkRules(t, b.text)
	case has("worker"), has("connectors"):
		return c.checkValues(t, b.text)
	}
	return c.load(t, b.text, ".yaml")
}

// load reads a file as the program does. One that has not what every file has shows some keys alone.
func (c *checked) load(t *testing.T, text, suffix string) error {
	t.Helper()
	shows := func(keys []config.Key) bool {
		return slices.ContainsFunc(keys, func(k config.Key) bool {
			return regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(k.Name) + `\s*[:=]`).MatchString(text)
		})
	}
	switch {
	case strings.Contains(text, "bootstrap.servers"), strings.Contains(text, "coupa.url"):
	case shows(config.WorkerKeys()):
		text += leastWorker
	case shows(config.ConnectorKeys()), strings.HasPrefix(text, "object."):
		text += leastConnector
	}
	w, connector, err := config.Load(placed(t, c.dir, fmt.Sprintf("%d%s", c.seen, suffix), text), someEnv)
	if w != nil {
		c.worker = w
	}
	if connector != nil {
		c.connectors = append(c.connectors, connector)
	}
	return err
}

// checkJSON takes what is POSTed to make a connector, records and notifications.
func (c *checked) checkJSON(text string) error {
	values := json.NewDecoder(strings.NewReader(text))
	for {
		var v map[string]any
		if err := values.Decode(&v); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if _, ok := v["config"]; ok {
			return checkPosted(text)
		}
		_, row := v["id"]
		_, envelope := v["after"]
		if !row && !envelope {
			return fmt.Errorf("neither a connector nor a record nor a notification: %s", text)
		}
	}
}

func checkPosted(text string) error {
	var body struct {
		Name   string            `json:"name"`
		Config map[string]string `json:"config"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		return err
	}
	worker, err := config.ParseWorker(map[string]string{"bootstrap.servers": "localhost:9092", "schema.registry.url": "http://localhost:8081"}, someEnv)
	if err != nil {
		return err
	}
	body.Config["name"] = body.Name
	_, err = worker.ParseSubmitted(body.Config, someEnv)
	return err
}

func checkMapping(text string, objects []string) error {
	_, err := config.ParseConnector(map[string]string{
		"name": "acme", "coupa.url": "https://acme.coupahost.com", "coupa.client.id": "id", "coupa.client.secret": "secret",
		"coupa.objects": strings.Join(objects, ","), "mapping": text, "mapping.hash.key": "0123456789abcdef",
	}, someEnv)
	return err
}

// checkAccounts puts something whole in place of hashes that the document cuts short.
func (c *checked) checkAccounts(t *testing.T, text string) error {
	t.Helper()
	text = regexp.MustCompile(`\$argon2id\$[^"]*…`).ReplaceAllLiteralString(text, security.HashPassword("a password of a test"))
	text = regexp.MustCompile(`[0-9a-f]{8}…`).ReplaceAllString(text, strings.Repeat("9f86d081", 8))
	file := placed(t, c.dir, fmt.Sprintf("accounts-%d.yaml", c.seen), text)
	return security.Check(&config.Worker{AuthFile: file})
}

func checkRules(t *testing.T, text string) error {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		return err
	}
	known, rules := metrics(t), 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules++
			if wrong := wrongNames(r.Expr, known); len(wrong) > 0 {
				return fmt.Errorf("alert %s: there is no %s", r.Alert, strings.Join(wrong, ", no "))
			}
		}
	}
	if rules == 0 {
		return fmt.Errorf("no rules: %s", text)
	}
	return nil
}

// checkValues takes values of the Helm chart, which makes a file of worker and one of each of connectors.
func (c *checked) checkValues(t *testing.T, text string) error {
	t.Helper()
	var values struct {
		Worker     map[string]any
		Connectors map[string]map[string]any
	}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		return err
	}
	files := []map[string]any{values.Worker}
	for name, keys := range values.Connectors {
		keys["name"] = name
		files = append(files, keys)
	}
	for _, keys := range files {
		c.seen++
		file, err := yaml.Marshal(keys)
		if err != nil {
			return err
		}
		if err := c.load(t, string(file), ".yaml"); err != nil {
			return err
		}
	}
	return nil
}

// posted finds bodies of requests in commands.
var posted = regexp.MustCompile(`(?s) -d '(\{.*?\})'`)

func TestConfigurationsInDocumentsAreValid(t *testing.T) {
	configurations := 0
	for _, document := range documents(t, "..") {
		c := &checked{dir: t.TempDir()}
		blocks, _ := parts(read(t, "../"+document))
		for _, b := range blocks {
			var err error
			switch b.language {
			case "yaml", "json", "properties":
				err = c.check(t, b)
			case "sh":
				for _, body := range posted.FindAllStringSubmatch(b.text, -1) {
					configurations++
					if err := checkPosted(body[1]); err != nil {
						t.Errorf("%s: %v\n%s", document, err, body[1])
					}
				}
			}
			if err != nil {
				t.Errorf("%s: %v\n%s", document, err, b.text)
			}
		}
		configurations += c.seen
		if c.worker != nil {
			if err := config.CheckTogether(c.worker, c.connectors); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
	}
	if configurations < 10 {
		t.Errorf("only %d configurations were found", configurations)
	}
}

func TestMistakesInDocumentsAreFound(t *testing.T) {
	for _, b := range []block{
		{"yaml", "poll.interval: 5000\n"},
		{"yaml", "listeners: everywhere\n"},
		{"yaml", "object.invoices.poll.interval.ms: often\n"},
		{"yaml", "name: acme\ncoupa.url: https://acme.coupahost.com\n"},
		{"yaml", "objects:\n  invoices:\n    choose: [no-such-field]\n"},
		{"yaml", "users:\n  ops: {password: secret, role: admin}\n"},
		{"yaml", "groups:\n  - rules:\n      - {alert: A, expr: coupastream_no_such_metric > 1}\n"},
		{"yaml", "connectors:\n  acme:\n    coupa.url: https://acme.coupahost.com\n"},
		{"yaml", "anything: else\n"},
		{"properties", "poll.interval=5000\n"},
		{"json", `{"name": "acme", "config": {"coupa.url": "https://acme.coupahost.com", "coupa.client.id": "id", "coupa.client.secret": "in clear"}}`},
		{"json", `{"anything": "else"}`},
		{"json", `{"id": 4711, …}`},
	} {
		if err := (&checked{dir: t.TempDir()}).check(t, b); err == nil {
			t.Errorf("taken: %s", b.text)
		}
	}
}

var update = flag.Bool("update", false, "put the files that documents show into them anew")

// shown is a block that shows a file: a comment names the file, by its path from the document, and the whole
// file stands in the block below.
var shown = regexp.MustCompile("(?m)(?s)^<!-- file: (\\S+) -->\n```(\\w*)\n(.*?)^```$")

// What documents show of a file is the file, which is what is run elsewhere.
func TestDocumentsShowFilesAsTheyAre(t *testing.T) {
	files := map[string]bool{}
	for _, document := range documents(t, "..") {
		path := filepath.Join("..", document)
		text := read(t, path)
		fresh := shown.ReplaceAllStringFunc(text, func(block string) string {
			parts := shown.FindStringSubmatch(block)
			file := filepath.Join(filepath.Dir(path), parts[1])
			files[filepath.Clean(file)] = true
			return "<!-- file: " + parts[1] + " -->\n```" + parts[2] + "\n" + read(t, file) + "```"
		})
		switch {
		case fresh == text:
		case *update:
			if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s: a file is not what the document shows of it; go test ./deploy -run ShowFiles -update", document)
		}
	}
	for _, folder := range []string{"sinks", "consumers"} { // which have nothing but what pages show
		err := filepath.WalkDir(filepath.Join("..", "deploy", folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(path) != ".md" && !files[path] {
				t.Errorf("no document shows %s", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Programs in Go that documents show are whole, and fit the versions of modules that this one uses.
func TestProgramsInDocumentsCompile(t *testing.T) {
	programs := 0
	for _, document := range documents(t, "..") {
		blocks, _ := parts(read(t, "../"+document))
		for _, b := range blocks {
			if b.language != "go" {
				continue
			}
			programs++
			file := filepath.Join(t.TempDir(), "main.go")
			add(t, file, b.text)
			if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", document, err, out)
			}
		}
	}
	if programs == 0 {
		t.Error("there is none")
	}
}
