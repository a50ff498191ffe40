package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest"
	"github.com/coupastream/coupastream/connector/rest/security"
	"github.com/coupastream/coupastream/connector/status"
)

// answers is a worker that gives set answers, by method and path
// with query: a status, or a body. It keeps what it was asked.
type answers struct {
	mu    sync.Mutex
	given map[string]any // int: a status; func: called for the answer; else a body
	asked []string       // method, path and body
}

func (a *answers) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	key := r.Method + " " + r.URL.RequestURI()
	a.asked = append(a.asked, strings.TrimSpace(key+" "+string(body)))
	answer, found := a.given[key]
	if f, ok := answer.(func() any); ok {
		answer = f()
	}
	rw.Header().Set("Content-Type", "application/json")
	switch answer := answer.(type) {
	case int:
		rw.WriteHeader(answer)
		if answer >= 400 {
			fmt.Fprintf(rw, `{"error_code":%d,"message":"no, for a reason."}`, answer)
		}
	default:
		if !found {
			rw.WriteHeader(http.StatusNotFound)
			answer = map[string]any{"error_code": 404, "message": "Connector x not found"}
		}
		_ = json.NewEncoder(rw).Encode(answer)
	}
}

// worker serves h and gives its address.
func worker(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// ask runs the program against a worker whose address stands in the environment.
func ask(t *testing.T, address string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := func(name string) (string, bool) { return address, name == urlVariable }
	status := run(t.Context(), args, env, &stdout, &stderr)
	return result{status, strings.ReplaceAll(stdout.String(), address, "URL"), strings.ReplaceAll(stderr.String(), address, "URL")}
}

// healthy is the health of two connectors, of which one has trouble.
func healthy() map[string]any {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	acme := rest.HealthOf(status.ConnectorStatus{
		Name: "acme", Tenant: "acme", State: status.Running, Owner: status.Owner{WorkerID: "w1:8083", Local: true},
		Rate: status.RateStatus{Limit: 15, Current: 7.5, Used: 3.14, ThrottledSince: now.Add(-time.Minute)},
		Tasks: []status.TaskStatus{
			{ID: 0, Object: "invoices", Topic: "coupa.invoices", State: status.Running, Condition: status.Backfilling, Mark: now.Add(-2 * time.Second), Proven: now.Add(-2 * time.Second),
				Progress: status.Progress{Done: 400, Total: 1000, Left: 3 * time.Minute}, Published: 401, Malformed: 3, Verified: status.Verified{At: now, Until: now, ProvenUntil: now.Add(-time.Hour)},
				Notices: []status.Trouble{{At: now, Message: "the topic lacks rows", Remedy: "publish them"}}},
			{ID: 1, Object: "expense_lines/expense_artifacts", State: status.Failed, Trace: "scope core.expense.read is missing", Proven: now.Add(-26 * time.Hour), NextTry: now.Add(time.Minute),
				Errors: []status.Trouble{{At: now, Message: "scope", Remedy: "grant it"}}, DeadLetters: 2,
				Verified: status.Verified{At: now, Until: now, Found: map[string]int64{"stale": 1, "extra": 2}}},
		},
	}, now)
	globex := rest.HealthOf(status.ConnectorStatus{
		Name: "globex", Tenant: "gx", State: status.Paused, FromFile: true, Tasks: []status.TaskStatus{{ID: 0, Object: "users", State: status.Paused}},
	}, now)
	return map[string]any{
		"GET /connectors": []string{"globex", "acme"},
		"GET /connectors?expand=health": map[string]any{
			"globex": map[string]any{"health": globex}, "acme": map[string]any{"health": acme},
		},
		"GET /connectors/acme/health":   acme,
		"GET /connectors/globex/health": globex,
	}
}

const statusOfAll = `CONNECTOR  TENANT  STATE    WORKER   TASKS                FRESHNESS  REQUESTS/S
acme       acme    RUNNING  w1:8083  1 FAILED, 1 RUNNING  26h        3.1 of 7.5
globex     gx      PAUSED   -        1 PAUSED             -          -

acme invoices: the topic lacks rows; publish them
acme expense_lines/expense_artifacts: scope core.expense.read is missing; grant it (tried again at 2026-01-02T03:05:05Z)
`

const statusOfAcme = `acme: RUNNING, tenant acme, worker w1:8083
requests a second: 3.1 of 7.5, slowed down by Coupa since 2026-01-02T03:03:05Z

TASK  OBJECT                           STATE    CONDITION    FRESHNESS  MARK                  PROVEN UNTIL  PROGRESS                           PUBLISHED  DEAD LETTERS
0     invoices                         RUNNING  BACKFILLING  2s         2026-01-02T03:04:03Z  2026-01-02T02:04:05Z  400 of 1000 rows, 40%, 3m left     401        0
1     expense_lines/expense_artifacts  FAILED   -            26h        -  3 differences at 2026-01-02T03:04:05Z  -                                  0          2

invoices: 3 texts with bytes that are not UTF-8; U+FFFD stands in their place

acme invoices: the topic lacks rows; publish them
acme expense_lines/expense_artifacts: scope core.expense.read is missing; grant it (tried again at 2026-01-02T03:05:05Z)
`

func TestStatusShowsWhatIsWrongAndTheRemedy(t *testing.T) {
	address := worker(t, &answers{given: healthy()})
	if got := ask(t, address, "status"); got.status != 0 || got.stdout != statusOfAll {
		t.Errorf("%d %s\n%s", got.status, got.stderr, got.stdout)
	}
	if got := ask(t, address, "status", "acme"); got.status != 0 || strings.Join(strings.Fields(got.stdout), " ") != strings.Join(strings.Fields(statusOfAcme), " ") {
		t.Errorf("%d %s\n%s", got.status, got.stderr, got.stdout)
	}
	if got := ask(t, address, "status", "globex"); got.status != 0 || !strings.HasPrefix(got.stdout, "globex: PAUSED, tenant gx, worker -, from a file of the worker\n") {
		t.Errorf("%d %s\n%s", got.status, got.stderr, got.stdout)
	}
	var all []rest.Health
	if got := ask(t, address, "status", "-o", "json"); json.Unmarshal([]byte(got.stdout), &all) != nil || len(all) != 2 || all[0].Tasks[0].Progress.Total != 1000 {
		t.Errorf("%+v", got)
	}
	empty := worker(t, &answers{given: map[string]any{"GET /connectors?expand=health": map[string]any{}}})
	if got := ask(t, empty, "status"); got.stdout != "no connector; make one with coupastream connectors apply -f FILE\n" {
		t.Errorf("%+v", got)
	}
	if got := ask(t, empty, "status", "-o", "json"); got.stdout != "[]\n" {
		t.Errorf("%+v", got)
	}
}

// TestRequestsOfCommands: what is asked of the worker, and what is printed.
func TestRequestsOfCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"acme.yaml": "name: acme\ncoupa.url: https://acme.coupahost.com\ncoupa.client.secret: ${env:COUPA_SECRET}\n",
		"new.json":  `{"name": "new", "config": {"coupa.url": "https://new.coupahost.com"}}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	given := healthy()
	for _, key := range []string{
		"PUT /connectors/acme/pause", "PUT /connectors/globex/pause", "PUT /connectors/acme/resume", "PUT /connectors/acme/stop", "DELETE /connectors/acme", "DELETE /connectors/acme/offsets",
		"POST /connectors/acme/restart?includeTasks=true&onlyFailed=true", "POST /connectors/acme/tasks/1/restart", "POST /connectors", "PUT /connectors/new/config", "PUT /connectors/old/config",
		"PATCH /connectors/acme/offsets/invoices", "DELETE /connectors/acme/offsets/expense_lines%2Fexpense_artifacts", "DELETE /connectors/acme/snapshots/s1", "PUT /connectors/acme/snapshots/s1/pause",
		"PUT /connectors/a%2Fb%20c/pause",
	} {
		given[key] = 204
	}
	given["GET /connectors/acme"] = map[string]any{"name": "acme", "config": map[string]string{"name": "acme", "coupa.url": "https://acme.coupahost.com", "coupa.client.secret": "${env:COUPA_SECRET}"}}
	given["GET /connectors/acme/offsets"] = json.RawMessage(`{"offsets":[{"partition":{"tenant":"acme","object":"invoices"},"offset":{"updated_at":"2026-01-02T03:04:05Z","id":7}},{"partition":{"tenant":"acme","object":"users"},"offset":{"updated_at":null,"id":0}}]}`)
	snapshot := map[string]any{"id": "s1", "object": "invoices", "state": "RUNNING", "from": "2026-01-01T00:00:00Z", "rows": 10, "total": 40}
	given["POST /connectors/acme/snapshots"] = snapshot
	given["GET /connectors/acme/snapshots"] = []any{snapshot}
	given["GET /connectors/acme/offsets/invoices"] = json.RawMessage(`{"partition":{"tenant":"acme","object":"invoices"},"offset":{"updated_at":"2026-01-02T03:04:05Z","id":7}}`)
	given["GET /connectors/acme/offsets/users"] = json.RawMessage(`{"partition":{"tenant":"acme","object":"users"},"offset":null}`)
	for _, c := range []struct {
		args, asked, printed string
	}{
		{"pause acme globex", "PUT /connectors/acme/pause|PUT /connectors/globex/pause", "acme: paused\nglobex: paused\n"},
		{"pause a/b%20c", "", ""},
		{"resume acme", "PUT /connectors/acme/resume", "acme: resumed\n"},
		{"stop acme -o json", "PUT /connectors/acme/stop", "{\n  \"name\": \"acme\",\n  \"result\": \"stopped\"\n}\n"},
		{"restart acme --include-tasks --only-failed", "POST /connectors/acme/restart?includeTasks=true&onlyFailed=true", "acme: restarted\n"},
		{"restart acme --task 1", "POST /connectors/acme/tasks/1/restart", "acme: task 1 restarted\n"},
		{"restart acme --task expense_lines/expense_artifacts", "GET /connectors/acme/health|POST /connectors/acme/tasks/1/restart", "acme: task 1 restarted\n"},
		{"offsets get acme", "GET /connectors/acme/offsets", "OBJECT    UPDATED AT            ID\ninvoices  2026-01-02T03:04:05Z  7\nusers     -                     0\n"},
		{"offsets get acme invoices users", "GET /connectors/acme/offsets/invoices|GET /connectors/acme/offsets/users", "OBJECT    UPDATED AT            ID\ninvoices  2026-01-02T03:04:05Z  7\nusers     -                     -\n"},
		{"offsets set acme invoices --updated-at 2026-01-01T01:00:00+01:00 --id 5", `PATCH /connectors/acme/offsets/invoices {"updated_at":"2026-01-01T00:00:00Z","id":5}`, "acme: invoices goes on from 2026-01-01T00:00:00Z\n"},
		{"offsets reset acme", "DELETE /connectors/acme/offsets", "acme: all objects begin anew\n"},
		{"offsets reset acme expense_lines/expense_artifacts", "DELETE /connectors/acme/offsets/expense_lines%2Fexpense_artifacts", "acme: expense_lines/expense_artifacts begins anew\n"},
		{"snapshot start acme --object invoices --from 2026-01-01", `POST /connectors/acme/snapshots {"object":"invoices","from":"2026-01-01T00:00:00Z"}`, "ID  OBJECT    STATE    FROM                  TO  PROGRESS\ns1  invoices  RUNNING  2026-01-01T00:00:00Z  -   10 of 40 rows, 25%\n"},
		{"snapshot start acme --object invoices --ids 3,4 --filter status=new", `POST /connectors/acme/snapshots {"object":"invoices","ids":[3,4],"filter":"status=new"}`, ""},
		{"snapshot list acme", "GET /connectors/acme/snapshots", "ID  OBJECT    STATE    FROM                  TO  PROGRESS\ns1  invoices  RUNNING  2026-01-01T00:00:00Z  -   10 of 40 rows, 25%\n"},
		{"snapshot cancel acme s1", "DELETE /connectors/acme/snapshots/s1", "acme: snapshot s1 cancelled\n"},
		{"snapshot pause acme s1", "PUT /connectors/acme/snapshots/s1/pause", "acme: snapshot s1 paused\n"},
		{"connectors list", "GET /connectors", "acme\nglobex\n"},
		{"connectors create -f acme.yaml", `POST /connectors {"name":"acme","config":{"coupa.client.secret":"${env:COUPA_SECRET}","coupa.url":"https://acme.coupahost.com","name":"acme"}}`, "acme: created\n"},
		{"connectors apply -f acme.yaml -f new.json", `GET /connectors/acme|GET /connectors/new|PUT /connectors/new/config {"coupa.url":"https://new.coupahost.com","name":"new"}`, "acme: unchanged\nnew: created\n"},
		{"connectors delete acme", "DELETE /connectors/acme", "acme: deleted\n"},
	} {
		if c.asked == "" {
			continue
		}
		t.Run(c.args, func(t *testing.T) {
			a := &answers{given: given}
			got := ask(t, worker(t, a), strings.Fields(c.args)...)
			if asked := strings.Join(a.asked, "|"); got.status != 0 || asked != c.asked || c.printed != "" && got.stdout != c.printed {
				t.Errorf("status %d, %s\nasked   %s\nprinted %s", got.status, got.stderr, asked, got.stdout)
			}
		})
	}
	failing := &answers{given: map[string]any{
		"PUT /connectors/globex/pause": 202, "GET /connectors/acme/snapshots": []any{map[string]any{"id": "s2", "object": "users", "state": "FAILED", "rows": 10, "trace": "no scope"}},
	}}
	address := worker(t, failing)
	if got := ask(t, address, "pause", "acme", "globex"); got.status != 1 || got.stdout != "globex: paused\n" || !strings.Contains(got.stderr, "Connector x not found") {
		t.Errorf("the first of two fails: %+v", got)
	}
	if got := ask(t, address, "snapshot", "list", "acme"); got.status != 0 || !strings.HasSuffix(got.stdout, "10 rows; no scope\n") {
		t.Errorf("a snapshot that has failed: %+v", got)
	}
	a := &answers{given: given}
	if got := ask(t, worker(t, a), "pause", "a/b c"); got.status != 0 || a.asked[0] != "PUT /connectors/a%2Fb%20c/pause" {
		t.Errorf("a name with a slash: %+v, %v", got, a.asked)
	}
}

func TestMistakesOfTheCommandLineAreToldBeforeAnythingIsAsked(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"status -o xml", `--output "xml" is not a form; give text or json`},
		{"status --interval 0s", "--interval 0s is no time to wait; give e.g. 2s"},
		{"status --url 127.0.0.1:8083", `--url "127.0.0.1:8083" is not the address of a worker; write e.g. http://127.0.0.1:8083`},
		{"status --url http://ops:s3cret@127.0.0.1:8083", `--url "http://ops:xxxxx@127.0.0.1:8083" is not the address of a worker`},
		{"status --user ops", "--user needs a password; give --password-file"},
		{"status --password-file x", "--password-file needs a user; give --user"},
		{"status --user ops --token-file x", "--token-file and --user are two ways to log in; give one of them"},
		{"status --token-file nowhere", "--token-file: open nowhere: no such file or directory"},
		{"status --cert x", "--cert and --key belong together; give both"},
		{"status --cacert nowhere", "--cacert = \"nowhere\": open nowhere: no such file or directory; give a readable PEM file"},
		{"restart acme --task 1 --only-failed", "--task restarts one task; leave out --include-tasks and --only-failed"},
		{"offsets", "no command given; give get, set or reset, see coupastream offsets --help"},
		{"offsets set acme", "accepts 2 arg(s), received 1; usage: coupastream offsets set CONNECTOR OBJECT --updated-at INSTANT"},
		{"offsets set acme invoices", "--updated-at is missing; give an instant, e.g. 2026-01-01T00:00:00Z, or reset the object"},
		{"offsets set acme invoices --updated-at yesterday", `--updated-at "yesterday" is not an instant; give e.g. 2026-01-01T00:00:00Z`},
		{"snapshot start acme", "--object is missing; give the object whose rows are to be read"},
		{"snapshot start acme --object invoices --ids 1 --from 2026-01-01", "--ids names rows by itself; leave out --from and --to"},
		{"snapshot start acme --object invoices --from soon", `--from "soon" is not an instant`},
		{"connectors create", "no file given; give a connector file with -f"},
		{"connectors apply -f nowhere.yaml", "nowhere.yaml: there is no such file; check the path"},
	} {
		a := &answers{}
		got := ask(t, worker(t, a), strings.Fields(c.args)...)
		if got.status != 2 || !strings.Contains(got.stderr, c.want) || strings.Contains(got.stderr, "s3cret") || len(a.asked) > 0 {
			t.Errorf("%s: %+v, asked %v", c.args, got, a.asked)
		}
	}
}

func TestWhatAWorkerRefusesIsAFailureWithARemedy(t *testing.T) {
	a := &answers{given: map[string]any{"PUT /connectors/acme/pause": 409, "PUT /connectors/acme/stop": 503}}
	address := worker(t, a)
	for _, c := range []struct{ args, want string }{
		{"pause acme", "coupastream: no, for a reason.\n"},
		{"stop acme", "coupastream: no, for a reason; try again in a while\n"},
		{"status x", "coupastream: Connector x not found\n"},
		{"connectors update -f acme.yaml", "coupastream: acme: Connector x not found\n"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Chdir("testdata")
			if got := ask(t, address, strings.Fields(c.args)...); got != (result{1, "", c.want}) {
				t.Errorf("%+v", got)
			}
		})
	}
	gone := httptest.NewServer(a)
	gone.Close()
	if got := ask(t, gone.URL, "status"); got != (result{1, "", "coupastream: no answer of a worker at URL: nothing listens there; start a worker, or give the address of one with --url or COUPASTREAM_URL\n"}) {
		t.Errorf("%+v", got)
	}
	page := worker(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<html>") }))
	if got := ask(t, page, "status"); got.status != 1 || !strings.Contains(got.stderr, "answered with something else than a worker does") {
		t.Errorf("%+v", got)
	}
}

func TestCommandsLogIn(t *testing.T) {
	t.Chdir(t.TempDir())
	token, hash := security.NewToken()
	for name, text := range map[string]string{
		"accounts.yaml": fmt.Sprintf("users: {ops: {password: %q, role: admin}}\ntokens: {ci: {sha256: %s, role: read-only}}\n", security.HashPassword("s3cret pass"), hash),
		"password":      "s3cret pass\n", "wrong": "s3cret\n", "token": token + "\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	guard, err := security.New(&config.Worker{AuthFile: "accounts.yaml"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	given := healthy()
	given["PUT /connectors/acme/pause"] = 202
	address := worker(t, guard.Handler(&answers{given: given}, true))
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"connectors list", 1, "coupastream: URL wants to know who asks; give --user and --password-file, or --token-file, of an account of the worker's rest.auth.file\n"},
		{"connectors list --user ops --password-file password", 0, ""},
		{"connectors list --user ops --password-file wrong", 1, "coupastream: URL does not take the user, password or token; check them against the worker's rest.auth.file\n"},
		{"connectors list --token-file token", 0, ""},
		{"pause acme --user ops --password-file password", 0, ""},
		{"pause acme --token-file token", 1, "coupastream: HTTP 403 Forbidden: the role read-only changes nothing; use an account with the role admin\n"},
	} {
		if got := ask(t, address, strings.Fields(c.args)...); got.status != c.status || got.stderr != c.want {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
}

func TestAWorkersCertificateIsChecked(t *testing.T) {
	server := httptest.NewUnstartedServer(&answers{given: healthy()})
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a handshake is to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	if got := ask(t, server.URL, "connectors", "list"); got.status != 1 || !strings.HasSuffix(got.stderr, "; give the authority of its certificate with --cacert\n") {
		t.Errorf("%+v", got)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(server.Certificate().Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, server.URL, "connectors", "list", "--cacert", ca); got.status != 0 || got.stdout != "acme\nglobex\n" {
		t.Errorf("%+v", got)
	}
}

func TestCompletionAsksTheWorker(t *testing.T) {
	address := worker(t, &answers{given: healthy()})
	for _, c := range []struct{ args, want string }{
		{"status ", "acme globex :4"},
		{"status acme ", ":4"},
		{"pause acme ", "acme globex :4"},
		{"offsets get acme ", "invoices expense_lines/expense_artifacts :4"},
		{"offsets set acme ", "invoices expense_lines/expense_artifacts :4"},
		{"offsets reset acme invoices ", "invoices expense_lines/expense_artifacts :4"},
		{"restart acme --task ", "invoices expense_lines/expense_artifacts :4"},
		{"snapshot start acme --object ", "invoices expense_lines/expense_artifacts :4"},
		{"status -o ", "text json :4"},
	} {
		args := append([]string{"__complete"}, strings.Split(c.args, " ")...)
		if got := ask(t, address, args...); strings.Join(strings.Fields(got.stdout), " ") != c.want {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
	if got := ask(t, "http://127.0.0.1:1", "__complete", "status", ""); strings.TrimSpace(got.stdout) != ":1" {
		t.Errorf("without a worker: %+v", got)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := ask(t, address, "completion", shell); got.status != 0 || !strings.Contains(got.stdout, "coupastream") {
			t.Errorf("%s: %d %s", shell, got.status, got.stderr)
		}
	}
}
