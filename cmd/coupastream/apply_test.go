package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// group is a worker that keeps what it is given, until it is told to refuse.
type group struct {
	mu         sync.Mutex
	connectors map[string]string // their configuration as JSON
	refuses    map[string]int    // a status by connector; "" for all
	asked      chan struct{}     // has room for a request
}

func (g *group) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case g.asked <- struct{}{}:
	default:
	}
	name := strings.Split(r.URL.Path, "/")[2]
	for _, who := range []string{"", name} {
		if status := g.refuses[who]; status != 0 {
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, `{"error_code": 1, "message": "no, for a reason."}`)
			return
		}
	}
	if r.Method == http.MethodPut {
		body, _ := io.ReadAll(r.Body)
		g.connectors[name] = string(body)
		return
	}
	if g.connectors[name] == "" {
		rw.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(rw, `{"name": "`+name+`", "config": `+g.connectors[name]+`}`)
}

// does changes the group between two requests.
func (g *group) does(what func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	what()
}

// has tells a key of a connector; "": there is none.
func (g *group) has(name, key string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var config map[string]string
	_ = json.Unmarshal([]byte(g.connectors[name]), &config)
	return config[key]
}

// keeping is `connectors apply --watch`, each line of whose log is waited for.
type keeping struct {
	t      *testing.T
	group  *group
	folder string
	log    lines
	end    context.CancelFunc
	status chan int
}

func newGroup() *group {
	return &group{connectors: map[string]string{}, refuses: map[string]int{}, asked: make(chan struct{}, 1)}
}

func keepApplied(t *testing.T, g *group, address, folder string, more ...string) *keeping {
	ctx, cancel := context.WithCancel(t.Context())
	k := &keeping{t, g, folder, make(lines), cancel, make(chan int, 1)}
	env := func(name string) (string, bool) { return address, name == urlVariable }
	go func() {
		k.status <- run(ctx, append([]string{"connectors", "apply", "--watch", folder, "--interval", "1ms"}, more...), env, io.Discard, k.log)
		close(k.log)
	}()
	return k
}

// says waits for the next line of the log, which has all parts.
func (k *keeping) says(parts ...string) string {
	k.t.Helper()
	line := <-k.log
	for _, part := range parts {
		if !strings.Contains(line, part) {
			k.t.Errorf("no %q in %s", part, line)
		}
	}
	return line
}

// comesTo waits for a line of the log that has all parts. Others may come before.
func (k *keeping) comesTo(parts ...string) {
	for line := range k.log {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			return
		}
	}
}

// ends ends it, and gives its exit status and last words.
func (k *keeping) ends() (status int, words string) {
	k.end()
	for line := range k.log {
		words += line
	}
	return <-k.status, words
}

// rounds lets some more pass, in which nothing is to be said.
func (k *keeping) rounds() {
	k.t.Helper()
	for range 10 {
		select {
		case <-k.group.asked:
		case line := <-k.log:
			k.t.Errorf("said once more: %s", line)
		}
	}
}

// write makes a file, or puts another in its place, at once.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(filepath.Dir(path), ".part")
	if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, path); err != nil {
		t.Fatal(err)
	}
}

// mount has a folder hold a ConfigMap's version as a kubelet mounts it.
func mount(t *testing.T, folder, version string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		write(t, filepath.Join(folder, ".."+version, name), text)
	}
	if err := os.Symlink(".."+version, filepath.Join(folder, "..new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(folder, "..new"), filepath.Join(folder, "..data")); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(folder, name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
}

func fileOf(name, objects string) string {
	return "name: " + name + "\ncoupa.url: https://" + name + ".coupahost.com\ncoupa.objects: " + objects + "\n"
}

func TestAFolderIsKeptApplied(t *testing.T) {
	t.Parallel()
	g, folder := newGroup(), t.TempDir()
	mount(t, folder, "1", map[string]string{"acme.yaml": fileOf("acme", "invoices")})
	write(t, filepath.Join(folder, ".acme.yaml.swp.yaml"), "no: connector")
	write(t, filepath.Join(folder, "notes.txt"), "of somebody's")
	k := keepApplied(t, g, worker(t, g), folder)
	k.says("connector=acme", "file=acme.yaml", "result=created")
	g.does(func() { delete(g.connectors, "acme") })
	k.says("connector=acme", "result=created")
	g.does(func() { g.connectors["acme"] = `{"name": "acme", "coupa.objects": "users"}` })
	k.says("connector=acme", "result=updated")
	k.rounds()
	if got := g.has("acme", "coupa.objects"); got != "invoices" {
		t.Errorf("drift was not put back: %s", got)
	}

	// another version, with a file that is wrong, one that the group refuses, and one of a name that is taken
	g.does(func() { g.refuses["globex"] = http.StatusConflict })
	mount(t, folder, "2", map[string]string{
		"acme.yaml": fileOf("acme", "suppliers"), "again.yaml": fileOf("acme", "users"), "bad.yaml": "coupa.url: [", "globex.yaml": fileOf("globex", "users"), "zeta.yaml": fileOf("zeta", "users"),
	})
	seen := ""
	for range 5 { // a round sees the folder while it is changed
		if seen += <-k.log; strings.Contains(seen, "connector=zeta") && strings.Contains(seen, "files=again.yaml") && strings.Contains(seen, "files=bad.yaml") && strings.Contains(seen, "files=globex.yaml") {
			break
		}
	}
	for _, part := range []string{"connector=acme", "result=updated", "acme.yaml is of this connector too", "no, for a reason", "connector=zeta"} {
		if !strings.Contains(seen, part) {
			t.Errorf("no %q in %s", part, seen)
		}
	}
	k.rounds()
	if got := g.has("acme", "coupa.objects") + g.has("zeta", "coupa.objects") + g.has("globex", "coupa.objects"); got != "suppliersusers" {
		t.Errorf("applied: %s", got)
	}
	g.does(func() { delete(g.refuses, "globex") })
	k.says("connector=globex", "result=created")

	// what is gone goes on
	for _, file := range []string{"again.yaml", "bad.yaml", "zeta.yaml"} {
		if err := os.Remove(filepath.Join(folder, file)); err != nil {
			t.Fatal(err)
		}
	}
	k.says("no file has the connector any more", "connector=zeta")
	k.rounds()
	if status, words := k.ends(); status != 0 || words != "" || g.has("zeta", "name") == "" {
		t.Errorf("status %d, %s", status, words)
	}
}

func TestAWorkerThatIsAwayIsToldOnceAndWaitedFor(t *testing.T) {
	t.Parallel()
	g, folder := newGroup(), t.TempDir()
	g.refuses[""] = http.StatusServiceUnavailable
	write(t, filepath.Join(folder, "acme.yaml"), fileOf("acme", "invoices"))
	write(t, filepath.Join(folder, "globex.json"), `{"name": "globex", "config": {"coupa.url": "https://globex.coupahost.com"}}`)
	k := keepApplied(t, g, worker(t, g), folder)
	k.says("not applied", `files="acme.yaml globex.json"`, "no, for a reason")
	k.rounds()
	if status, words := k.ends(); status != exitFailed || !strings.Contains(words, "acme.yaml, globex.json: no, for a reason") {
		t.Errorf("status %d, %s", status, words)
	}
	k = keepApplied(t, g, worker(t, g), folder)
	k.says("not applied")
	g.does(func() { delete(g.refuses, "") })
	first := k.says("result=created")
	second := k.says("result=created")
	if !strings.Contains(first+second, "connector=acme") || !strings.Contains(first+second, "connector=globex") {
		t.Errorf("%s%s", first, second)
	}
	if err := os.Rename(folder, folder+"-away"); err != nil {
		t.Fatal(err)
	}
	// It may go between two files, of which one is told first.
	k.comesTo("not applied", `files="acme.yaml globex.json"`, "check the folder")
	if err := os.Rename(folder+"-away", folder); err != nil {
		t.Fatal(err)
	}
	k.says("connector=acme", "result=unchanged")
	k.says("connector=globex", "result=unchanged")
	k.rounds()
	if status, words := k.ends(); status != 0 || words != "" {
		t.Errorf("status %d, %s", status, words)
	}

	for name, c := range map[string]struct {
		text   string
		status int
	}{"a file that is wrong": {"coupa.url: [", exitUsage}, "a worker that is not there": {fileOf("acme", "users"), exitFailed}} {
		folder := t.TempDir()
		write(t, filepath.Join(folder, "acme.yaml"), c.text)
		k := keepApplied(t, g, "http://127.0.0.1:1", folder)
		k.says("not applied", "files=acme.yaml")
		if status, words := k.ends(); status != c.status || words == "" {
			t.Errorf("%s: status %d, %s", name, status, words)
		}
	}
	for _, args := range []string{"--watch x --interval 0s", "--watch x -f y", "--watch x --metrics nowhere", "--watch x --user u"} {
		if got := ask(t, "http://127.0.0.1:1", append([]string{"connectors", "apply"}, strings.Fields(args)...)...); got.status != exitUsage {
			t.Errorf("%s: %+v", args, got)
		}
	}
}

func TestWhatIsKeptAppliedIsToldToPrometheus(t *testing.T) {
	t.Parallel()
	g, folder := newGroup(), t.TempDir()
	g.refuses["globex"] = http.StatusConflict
	write(t, filepath.Join(folder, "acme.yaml"), fileOf("acme", "invoices"))
	write(t, filepath.Join(folder, "bad.yaml"), "coupa.url: [")
	write(t, filepath.Join(folder, "globex.yaml"), fileOf("globex", "invoices"))
	k := keepApplied(t, g, worker(t, g), folder, "--metrics", "127.0.0.1:0")
	url := regexp.MustCompile(`url=(\S+)`).FindStringSubmatch(k.says("metrics are answered"))[1]
	k.says("connector=acme")
	k.says("files=bad.yaml")
	k.says("files=globex.yaml")
	scraped := func() string {
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return string(text)
	}
	text := scraped()
	for _, want := range []string{
		`coupastream_connector_applied{connector="acme",file="acme.yaml"} 1`, `coupastream_connector_applied{connector="",file="bad.yaml"} 0`,
		`coupastream_connector_applied{connector="globex",file="globex.yaml"} 0`, `coupastream_connector_applied_timestamp_seconds{connector="acme",file="acme.yaml"} 1.`,
		`coupastream_connector_applies_total{result="created"} 1`, `coupastream_connector_applies_total{result="failed"} `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	write(t, filepath.Join(folder, "bad.yaml"), fileOf("initech", "invoices"))
	k.says("connector=initech")
	if err := os.Remove(filepath.Join(folder, "acme.yaml")); err != nil {
		t.Fatal(err)
	}
	k.says("no file has the connector any more", "connector=acme")
	if text := scraped(); strings.Contains(text, "acme") || strings.Contains(text, `connector="",`) || !strings.Contains(text, `coupastream_connector_applied{connector="initech",file="bad.yaml"} 1`) {
		t.Error(text)
	}
	k.ends()
}
