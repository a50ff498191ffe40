package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/embedded"
	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/logging"
	"github.com/coupastream/coupastream/connector/rest/security"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/transport"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// Secrets that are planted where a worker meets them. The rows' texts are no
// secrets, and are just as little to be found anywhere but in their topics.
const (
	plantedClient   = "pl4nted-client-secret"
	plantedSASL     = "pl4nted-sasl-password"
	plantedRegistry = "pl4nted-registry-password"
	plantedHashKey  = "pl4nted-key-of-hashes"
	plantedPassword = "pl4nted-password"
	plantedWrong    = "pl4nted-wrong-password"
	plantedPosted   = "pl4nted-secret-sent-over-rest"
	plantedEnv      = "pl4nted-variable-of-the-worker"
	plantedText     = "pl4nted-text-of-a-row"
	plantedNumber   = "pl4nted-where-a-number-belongs"
)

// places is where secrets are looked for: a name for each, and what is there.
type places map[string][]byte

// journal is a log that others may read while it is written, and wait for.
type journal struct {
	mu      sync.Mutex
	text    bytes.Buffer
	awaited map[string]chan struct{}
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(line)
	for part, seen := range j.awaited {
		if strings.Contains(j.text.String(), part) {
			close(seen)
			delete(j.awaited, part)
		}
	}
	return len(line), nil
}

// until gives what is closed when part has been logged.
func (j *journal) until(part string) <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	seen := make(chan struct{})
	j.awaited[part] = seen
	return seen
}

// TestNoSecretIsAnywhere runs a worker that meets every kind of secret,
// with success and with failure, and looks at all that it leaves behind.
func TestNoSecretIsAnywhere(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	secrets := map[string]string{
		"the client's secret": plantedClient, "the SASL password": plantedSASL, "the registry's password": plantedRegistry, "the key of hashes": plantedHashKey,
		"a user's password": plantedPassword, "a password that was wrong": plantedWrong, "a secret sent over REST": plantedPosted, "a variable of the worker": plantedEnv,
		"a row's text": plantedText, "a row's text where a number belongs": plantedNumber,
	}

	// What the worker talks to.
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "svc", plantedSASL), kfake.SleepOutOfOrder(), kfake.DefaultNumPartitions(3))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	registryURL, stopRegistry, err := embedded.Serve(0, wantsPassword(srfake.NewRegistry().Handler()))
	if err != nil {
		t.Fatal(err)
	}
	defer stopRegistry()
	tenant := coupatest.New(coupatest.Config{Seed: 1, Rows: 3, ClientID: "id", ClientSecret: plantedClient, TokenHold: devTokenHold})
	tenant.SetMember("suppliers", 1, "name", fmt.Sprintf("%q", plantedText))
	tenant.SetMember("invoices", 1, "internal-note", fmt.Sprintf("%q", plantedText))
	tenant.SetMember("invoices", 2, "gross-total", fmt.Sprintf("%q", plantedNumber))
	tokens := &seenTokens{next: tenant, tokens: map[string]bool{}}
	coupaURL, stopCoupa, err := embedded.Serve(0, tokens)
	if err != nil {
		t.Fatal(err)
	}
	defer stopCoupa()

	// The worker's files.
	token, hash := security.NewToken()
	secrets["a bearer token"] = token
	workerFile, connectorFile, state := filepath.Join(folder, "worker.yaml"), filepath.Join(folder, "acme.yaml"), filepath.Join(folder, "state")
	for path, text := range map[string]string{
		filepath.Join(folder, "accounts.yaml"): fmt.Sprintf("users: {ops: {password: %q, role: admin}}\ntokens: {ci: {sha256: %s, role: admin}}\n", security.HashPassword(plantedPassword), hash),
		workerFile: fmt.Sprintf("bootstrap.servers: %s\nsecurity.protocol: SASL_PLAINTEXT\nsasl.mechanism: SCRAM-SHA-256\nsasl.username: svc\nsasl.password: %s\n"+
			"schema.registry.url: %s\nschema.registry.basic.auth.user.info: ${env:REGISTRY}\ngroup.id: planted\nstate.dir: %s\nlisteners: http://127.0.0.1:0\nrest.auth.file: %s\n",
			kafka.ListenAddrs()[0], plantedSASL, registryURL, state, filepath.Join(folder, "accounts.yaml")),
		connectorFile: fmt.Sprintf("name: acme\ntenant: acme\ncoupa.url: %s\ncoupa.client.id: id\ncoupa.client.secret: %s\ncoupa.objects: [suppliers, invoices, users]\n"+
			"poll.interval.ms: 1000\nsettle.ms: 1000\nmapping.hash.key: ${env:HASH_KEY}\nmapping: \"objects: {invoices: {fields: {internal-note: {hash: true}}}}\"\n", coupaURL, plantedClient),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := func(name string) (string, bool) {
		value, found := map[string]string{"REGISTRY": "svc:" + plantedRegistry, "HASH_KEY": plantedHashKey, "PRIVATE": plantedEnv}[name]
		return value, found
	}

	// The worker runs until a row with the text is published and another has stopped its object.
	log := &journal{awaited: map[string]chan struct{}{}}
	levels, err := logging.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: logging.All}), "DEBUG")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{env: env, stdout: io.Discard, stderr: log, levels: levels, log: levels.Logger(logging.Root)}
	settings, connectors, err := a.load(workerFile, []string{connectorFile})
	if err != nil {
		t.Fatal(err)
	}
	published := make(chan struct{})
	var once sync.Once
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := a.newWorker(ctx, settings, connectors, func(c *connector.Config) {
		c.Source = devSource
		c.Published = func(p shard.Publication) {
			if p.Stream.Object == "suppliers" && p.ID == 1 {
				once.Do(func() { close(published) })
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	api, err := a.listen(settings)
	if err != nil {
		t.Fatal(err)
	}
	failed := log.until("invoices id 2")
	g, run := errgroup.WithContext(ctx)
	g.Go(func() error { return api.serve(run, w) })
	g.Go(func() error { return w.Run(run) })
	for what, event := range map[string]<-chan struct{}{"the text is published": published, "the object is stopped": failed} {
		select {
		case <-event:
		case <-run.Done():
			t.Fatalf("the worker ended before %s: %v\n%s", what, g.Wait(), &log.text)
		}
	}
	found := places{}
	answersOf(t, api.urls[0], token, coupaURL, found)
	tokenFile := filepath.Join(folder, "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	agentsAnswers(t, agentAt(t, api.urls[0]+"/mcp", token), "at /mcp", found)
	agentsAnswers(t, agentOf(t, &app{env: env, stderr: log, tokenHold: devTokenHold}, connectorFile, "--worker", workerFile, "--url", api.urls[0], "--token-file", tokenFile, "--log-level", "debug"), "through mcp", found)
	cancel()
	if err := g.Wait(); err != nil {
		t.Error("the end of the worker: ", err)
	}
	found["the log"] = log.text.Bytes()
	if len(tokens.tokens) == 0 {
		t.Error("Coupa was asked without a token")
	}
	for access := range tokens.tokens {
		secrets["a token of Coupa's"] = access
	}
	data := keep(t, settings, state, found)
	if !bytes.Contains(data, []byte(plantedText)) {
		t.Error("the row's text is not even in its topic: nothing was shown")
	}
	for what, secret := range secrets {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("svc:" + secret)), base64.StdEncoding.EncodeToString([]byte("ops:" + secret))} {
			for where, text := range found {
				if i := bytes.Index(text, []byte(form)); i >= 0 {
					t.Errorf("%s is in %s: …%q…", what, where, text[max(0, i-100):min(len(text), i+100)])
				}
			}
		}
	}
}

// seenTokens keeps the tokens with which Coupa is asked.
type seenTokens struct {
	next   http.Handler
	mu     sync.Mutex
	tokens map[string]bool
}

func (s *seenTokens) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		s.mu.Lock()
		s.tokens[token] = true
		s.mu.Unlock()
	}
	s.next.ServeHTTP(rw, r)
}

// wantsPassword is a registry that lets nobody in without the planted password.
func wantsPassword(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != plantedRegistry {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// answersOf asks for all that the API has, and for what it refuses.
func answersOf(t *testing.T, address, token, coupaURL string, found places) {
	t.Helper()
	const one = "/connectors/acme"
	posted := fmt.Sprintf(`{"name":"posted","config":{"name":"posted","coupa.url":%q,"coupa.client.id":"${env:PRIVATE}","coupa.client.secret":%q,"tenant":"${env:PRIVATE}"}}`, coupaURL, plantedPosted)
	type question struct{ method, path, body, authorization string }
	questions := []question{
		{"GET", "/openapi.json", "", "Bearer " + token}, // and what it lists, behind all that follows
		{"GET", "/connectors?expand=info&expand=status&expand=health", "", "Bearer " + token}, {"GET", "/ui/", "", "Bearer " + token},
		{"POST", "/connectors", posted, "Bearer " + token}, {"POST", "/connectors", strings.TrimSuffix(posted, "}"), "Bearer " + token},
		{"PUT", "/connector-plugins/CoupaSource/config/validate", fmt.Sprintf(`{"coupa.client.secret":%q,"coupa.client.secrets":%q}`, plantedPosted, plantedPosted), "Bearer " + token},
		{"PATCH", one + "/config", fmt.Sprintf(`{"coupa.client.secret":%q}`, plantedPosted), "Bearer " + token},
		{"GET", one, "", "Basic " + base64.StdEncoding.EncodeToString([]byte("ops:"+plantedPassword))},
		{"GET", one, "", "Basic " + base64.StdEncoding.EncodeToString([]byte("ops:"+plantedWrong))},
		{"GET", one, "", "Basic " + base64.StdEncoding.EncodeToString([]byte(plantedWrong+":x"))},
		{"GET", one, "", "Bearer " + plantedWrong},
	}
	for i := 0; i < len(questions); i++ {
		q := questions[i]
		r, err := http.NewRequestWithContext(t.Context(), q.method, address+q.path, strings.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", q.authorization)
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if q.path == one+"/status" && !bytes.Contains(body, []byte("invoices id 2")) {
			t.Errorf("the status does not tell of the row that can't go: %s", body)
		}
		if i == 0 {
			for _, path := range readPaths(t, body) {
				questions = append(questions, question{"GET", path, "", "Bearer " + token})
			}
		}
		name := fmt.Sprintf("the answer %d to %s %s", res.StatusCode, q.method, q.path)
		found[name] = fmt.Append(found[name], res.Header, string(body))
	}
}

// agentsAnswers has an agent use all tools that it is offered. What a row holds an agent may see where
// the mapping lets it through, so it looks at an object of which the planted text is hashed.
func agentsAnswers(t *testing.T, s *mcp.ClientSession, way string, found places) {
	t.Helper()
	n := 0
	for tool, err := range s.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		schema, _ := json.Marshal(tool)
		given := map[string]any{}
		for name, value := range map[string]any{"name": "acme", "connector": "acme", "object": "invoices", "id": 2, "objects": []string{"invoices"}, "rows": 3, "expand": []string{"info", "health"}} {
			properties := tool.InputSchema.(map[string]any)["properties"].(map[string]any)
			if property, has := properties[name].(map[string]any); has {
				if _, many := value.([]string); property["type"] == "array" && !many {
					value = []any{value}
				}
				given[name] = value
			}
		}
		text, failed := told(t, s, tool.Name, given)
		if failed && tool.Name != "deadletters" {
			t.Errorf("%s %v %s: %s", tool.Name, given, way, text)
		}
		found["the answer of "+tool.Name+" "+way], n = append(schema, text...), n+1
	}
	if n < 8 {
		t.Errorf("an agent was offered %d tools %s", n, way)
	}
}

// readPaths is every path of a description that can be read, with names of what is there.
func readPaths(t *testing.T, description []byte) (paths []string) {
	t.Helper()
	var d struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(description, &d); err != nil {
		t.Fatal(err)
	}
	names := strings.NewReplacer("{name}", "acme", "{task}", "1", "{object}", "invoices", "{id}", "2", "{plugin}", "CoupaSource", "{logger}", "root")
	for path, operations := range d.Paths {
		if operations["get"] == nil {
			continue
		}
		if path = names.Replace(path); strings.Contains(path, "{") {
			t.Errorf("nothing is known that %s stands for", path)
		}
		paths = append(paths, path)
	}
	if len(paths) < 15 {
		t.Errorf("the description has %d paths that can be read", len(paths))
	}
	return paths
}

// keep reads all files of the state and all topics of the worker, and gives what the data topics hold.
func keep(t *testing.T, settings *config.Worker, state string, found places) (data []byte) {
	t.Helper()
	err := filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		found[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	opts, err := transport.Kafka(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(settings.BootstrapServers...),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords())...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// by topic and partition: the last offset
	from, left := map[string]map[int32]kgo.Offset{}, map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 && !strings.HasPrefix(o.Topic, "__") {
			if from[o.Topic] == nil {
				from[o.Topic] = map[int32]kgo.Offset{}
			}
			from[o.Topic][o.Partition] = kgo.NewOffset().AtStart()
			left[fmt.Sprint(o.Topic, o.Partition)] = o.Offset - 1
		}
	})
	cl.AddConsumePartitions(from)
	for len(left) > 0 {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if left[fmt.Sprint(r.Topic, r.Partition)] == r.Offset {
				delete(left, fmt.Sprint(r.Topic, r.Partition))
			}
			text := fmt.Append(nil, string(r.Key), string(r.Value), r.Headers)
			if strings.HasPrefix(r.Topic, settings.GroupID) {
				found["the topic "+r.Topic] = append(found["the topic "+r.Topic], text...)
				return
			}
			data = append(data, text...)
		})
	}
	if len(found["the topic "+settings.CheckpointTopic]) == 0 {
		t.Error("there are no checkpoints to look at")
	}
	return data
}
