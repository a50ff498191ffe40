package connector

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/lossy"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/registry"
)

// harness is a simulated tenant, an in-process Kafka and workers that can be started,
// killed and started again, in one synctest bubble. Its checker runs when the test ends.
type harness struct {
	t          *testing.T
	tenant     *coupatest.Tenant            // acme
	others     map[string]*coupatest.Tenant // by name; their topics are <name>.<object>
	cluster    *kfake.Cluster
	net        *lossy.Net
	registry   *memoryRegistry
	registryOf func() record.Registry // gives each worker its client; nil: all have registry
	state      string
	keys       map[string]string // connector keys beside the usual ones
	own        map[string]string // the same, of acme alone
	worker     map[string]string // worker keys beside the usual ones
	source     func(stream.Source) stream.Source
	gateway    *gateway // between workers and tenants; nil: none
	log        *syncBuffer
	webhooks   *http.Client
	shared     bool   // all tenants have one topic
	unfiled    bool   // workers get no connectors from files
	version    string // of the program that workers are; "": v-test
	env        map[string]string
	traces     trace.TracerProvider
	levels     func(logger, level string) // what workers do with levels
	published  func(shard.Publication)    // hears what workers have committed
	running    *running
	members    []*running // workers beside it
	made       atomic.Int32
	slice      int                    // of a look-back; 0: as it is
	texts      map[lineContent]string // of lines, which are compared again and again
	encoders   map[encodedBy]func(row []byte) []byte
}

// running is one worker's run.
type running struct {
	*Worker
	link   *link // to Kafka, of a worker beside others; nil otherwise
	cancel context.CancelFunc
	done   chan error
}

// simulate runs f in a bubble with a harness over a tenant of cfg, in parallel with other tests.
func simulate(t *testing.T, cfg coupatest.Config, f func(*harness)) {
	t.Helper()
	t.Parallel()
	simulateAlone(t, cfg, f)
}

// simulateAlone is simulate for tests that set what the whole process shares.
func simulateAlone(t *testing.T, cfg coupatest.Config, f func(*harness)) {
	t.Helper()
	state := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg.ClientID, cfg.ClientSecret = "id", "secret"
		if cfg.Objects == nil {
			cfg.Objects = []string{"invoices", "suppliers"}
		}
		network := &kfake.VirtualNetwork{}
		h := &harness{
			t: t, net: &lossy.Net{Dial: network.DialContext}, registry: &memoryRegistry{}, state: state,
			keys:   map[string]string{"coupa.objects": strings.Join(cfg.Objects, ","), "fields": "all", "poll.interval.ms": "1000", "coupa.rate.limit": "0"},
			worker: map[string]string{}, others: map[string]*coupatest.Tenant{}, log: &syncBuffer{},
			texts: map[lineContent]string{}, encoders: map[encodedBy]func([]byte) []byte{},
		}
		h.env = map[string]string{"COUPA_SECRET": "secret"}
		h.tenant = coupatest.New(cfg)
		var err error
		h.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.SleepOutOfOrder())
		if err != nil {
			t.Fatal(err)
		}
		defer h.cluster.Close()
		defer func() {
			if h.running != nil {
				h.stop()
			}
			for len(h.members) > 0 {
				h.leave(h.members[0])
			}
			if t.Failed() {
				t.Log(h.log.String())
			}
		}()
		f(h)
	})
}

func (h *harness) kafka() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(h.net.DialContext)}
}

// make builds a worker as the program does, from configuration keys. Heartbeats
// are as far apart as they may be: simulated hours have many of them.
func (h *harness) make() *Worker {
	h.t.Helper()
	return h.build(map[string]string{"state.dir": h.state, "heartbeat.interval.ms": cmp.Or(h.worker["heartbeat.interval.ms"], "4000")}, h.kafka())
}

func (h *harness) lookup(name string) (string, bool) { return h.env[name], h.env[name] != "" }

func noEnv(string) (string, bool) { return "", false }

func (h *harness) build(keys map[string]string, kafka []kgo.Opt) *Worker {
	h.t.Helper()
	worker := map[string]string{
		"bootstrap.servers": "127.0.0.1:9092", "schema.registry.url": "http://127.0.0.1:1", "checkpoint.topic.partitions": "2",
	}
	maps.Copy(worker, h.worker)
	maps.Copy(worker, keys)
	w, err := config.ParseWorker(worker, noEnv)
	if err != nil {
		h.t.Fatal(err)
	}
	connectors := []*config.Connector{h.connector("acme", nil)}
	for _, name := range slices.Sorted(maps.Keys(h.others)) {
		connectors = append(connectors, h.connector(name, h.apart()))
	}
	if h.unfiled {
		connectors = nil
	}
	id := fmt.Sprintf("worker-%d:8083", h.made.Add(1))
	var schemaRegistry record.Registry = h.registry
	if h.registryOf != nil {
		schemaRegistry = h.registryOf()
	}
	made, err := New(Config{
		Traces:      h.traces,
		Self:        status.Owner{WorkerID: id, URL: "http://" + id},
		Env:         h.lookup,
		LoggerLevel: h.levels,
		Published:   h.published,
		Settings:    w, Connectors: connectors, Kafka: kafka, Registry: schemaRegistry,
		Log:    slog.New(slog.NewTextHandler(h.log, nil)),
		Source: h.client, Version: cmp.Or(h.version, "v-test"), Webhooks: h.webhooks,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if h.slice > 0 {
		made.slice = h.slice
	}
	return made
}

func (h *harness) connector(tenant string, keys map[string]string) *config.Connector {
	h.t.Helper()
	connector := map[string]string{
		"name": tenant, "tenant": tenant, "coupa.url": "http://127.0.0.1", "coupa.client.id": "id", "coupa.client.secret": "secret",
	}
	maps.Copy(connector, h.keys)
	maps.Copy(connector, keys)
	if tenant == "acme" {
		maps.Copy(connector, h.own)
	}
	c, err := config.ParseConnector(connector, h.lookup)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// apart gives another tenant's topics a name of their own.
func (h *harness) apart() map[string]string {
	if h.shared {
		return nil
	}
	return map[string]string{"topic.template": "${tenant}.${object}"}
}

// named gives a tenant with the prefix of its topics.
func (h *harness) named(tenant string) (*coupatest.Tenant, string) {
	if t, ok := h.others[tenant]; ok {
		return t, tenant + "."
	}
	return h.tenant, "coupa."
}

func (h *harness) client(c *config.Connector, large *coupa.LargeRows) (stream.Source, error) {
	cfg := c.Coupa()
	cfg.LargeRows = large
	tenant, _ := h.named(c.Tenant)
	cfg.Transport = tenant.Transport()
	if h.gateway != nil {
		cfg.Transport = h.gateway.before(cfg.Transport)
		cfg.Apart = cfg.Transport
	}
	cfg.Limiter = c.Limiter()
	client, err := coupa.New(cfg)
	if err != nil || h.source == nil {
		return client, err
	}
	return h.source(client), nil
}

// start runs a worker in the background.
func (h *harness) start() *running {
	h.t.Helper()
	h.running = h.run(h.make())
	return h.running
}

func (h *harness) run(w *Worker) *running {
	ctx, cancel := context.WithCancel(h.t.Context())
	r := &running{Worker: w, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- r.Run(ctx) }()
	return r
}

// stop stops the worker cleanly and expects it to say so.
func (h *harness) stop() {
	h.t.Helper()
	h.end(h.running)
	h.running = nil
}

func (h *harness) end(r *running) {
	h.t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		h.t.Errorf("a clean stop gave an error: %v", err)
	}
}

// stopsShortly stops the worker and expects that to take less than 5 s, whatever it is waiting for.
func (h *harness) stopsShortly() {
	h.t.Helper()
	began := time.Now()
	h.stop()
	if took := time.Since(began); took > 5*time.Second {
		h.t.Errorf("the stop took %v", took)
	}
}

// settle lets the worker run until it has caught up with what the tenant has now.
func (h *harness) settle() {
	h.t.Helper()
	h.pass(30 * time.Second)
}

// pass lets the bubble's clock run on.
func (h *harness) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// record is a record as a read_committed consumer sees it.
type readRecord struct {
	id        int64
	updatedAt string
	op        string
	value     []byte
	headers   map[string]string
	partition int32
	offset    int64
}

// records reads a topic to its end under read_committed.
func (h *harness) records(topic string) []readRecord {
	h.t.Helper()
	return h.recordsOf("acme", topic)
}

func (h *harness) recordsOf(tenant, topic string) []readRecord {
	h.t.Helper()
	var all []readRecord
	h.each(topic, func(r *kgo.Record) { all = append(all, parseRecord(h.t, tenant, r)) })
	return all
}

// each gives every record of a topic to its end, under read_committed.
func (h *harness) each(topic string, f func(*kgo.Record)) {
	h.t.Helper()
	cl, err := kgo.NewClient(append(h.kafka(), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(h.t.Context(), topic)
	if err != nil {
		h.t.Fatal(err)
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left++
		}
	})
	for left > 0 {
		fetches := cl.PollFetches(h.t.Context())
		fetches.EachError(func(_ string, _ int32, err error) { h.t.Fatal(err) })
		fetches.EachRecord(func(r *kgo.Record) {
			if o, _ := ends.Lookup(topic, r.Partition); r.Offset == o.Offset-1 {
				left--
			}
			if !r.Attrs.IsControl() {
				f(r)
			}
		})
	}
}

func parseRecord(t *testing.T, tenant string, r *kgo.Record) readRecord {
	t.Helper()
	rec := readRecord{partition: r.Partition, offset: r.Offset, value: r.Value, headers: map[string]string{}}
	for _, hd := range r.Headers {
		rec.headers[hd.Key] = string(hd.Value)
		switch hd.Key {
		case record.HeaderUpdatedAt:
			rec.updatedAt = string(hd.Value)
		case record.HeaderOp:
			rec.op = string(hd.Value)
		}
	}
	prefix := append([]byte{0, 0, 0, 0}, r.Key[4], byte(2*len(tenant)))
	prefix = append(prefix, tenant...)
	rest, ok := bytes.CutPrefix(r.Key, prefix)
	if !ok {
		t.Fatalf("key %x does not begin with %x", r.Key, prefix)
	}
	var u uint64
	for i, b := range rest {
		u |= uint64(b&0x7f) << (7 * i)
	}
	rec.id = int64(u>>1) ^ -int64(u&1)
	return rec
}

// check compares a topic with the tenant's history: nothing lost,
// nothing repeated, nothing that never was, versions of an id in order.
func (h *harness) check(object string) []readRecord {
	h.t.Helper()
	return h.checkOf("acme", object)
}

func (h *harness) checkOf(name, object string) []readRecord {
	h.t.Helper()
	tenant, prefix := h.named(name)
	records := h.recordsOf(name, prefix+object)
	contentOf := h.contents(tenant, object)
	latest := map[int64]readRecord{}
	seen := map[string]bool{}
	order := sync.OnceValue(func() map[string]int {
		order := map[string]int{}
		for i, v := range tenant.Versions(object) {
			order[fmt.Sprint(v.ID, string(h.rowEncoder(object, schemas.Options{})(v.JSON)))] = i
		}
		return order
	})
	// saved is when the tenant made a record's version: it may have set the row's stamp back.
	saved := func(r readRecord) int { return order()[fmt.Sprint(r.id, contentOf(r))] }
	for _, r := range records {
		if r.value == nil { // what was published before counts no more
			for key := range seen {
				if strings.HasPrefix(key, fmt.Sprint(r.id, " ")) {
					delete(seen, key)
				}
			}
			latest[r.id] = r
			continue
		}
		content := contentOf(r)
		if content == "" {
			h.t.Errorf("%s id %d of %s: the record equals no version that the tenant had", object, r.id, r.updatedAt)
		}
		key := fmt.Sprint(r.id, " ", r.updatedAt, content)
		// a change of its lines shows the row in its present form
		if h.linesOf(object) == config.LinesTopics {
			key += fmt.Sprint(" ", schemaID(r.value))
		}
		if seen[key] {
			h.t.Errorf("%s id %d of %s was published twice", object, r.id, r.updatedAt)
		}
		seen[key] = true
		if before, ok := latest[r.id]; ok && before.updatedAt > r.updatedAt && saved(r) <= saved(before) {
			h.t.Errorf("%s id %d: %s was published after %s", object, r.id, r.updatedAt, before.updatedAt)
		}
		if before, ok := latest[r.id]; ok && before.partition != r.partition {
			h.t.Errorf("%s id %d is in partitions %d and %d", object, r.id, before.partition, r.partition)
		}
		latest[r.id] = r
	}
	if h.linesOf(object) != config.LinesEmbedded {
		h.checkLines(name, object)
	}
	encode := h.rowEncoder(object, schemas.Options{})
	for _, v := range tenant.Rows(object) {
		switch r, ok := latest[v.ID]; {
		case !ok, r.value == nil:
			h.t.Errorf("%s id %d of %s was not published", object, v.ID, v.UpdatedAt)
		case contentOf(r) != string(encode(v.JSON)):
			h.t.Errorf("%s id %d: the last readRecord is of %s, the tenant has %s", object, v.ID, r.updatedAt, v.UpdatedAt.UTC().Format(time.RFC3339))
		}
	}
	if h.keys["deletes"] == "sweep" {
		there := map[int64]bool{}
		for _, v := range tenant.Rows(object) {
			there[v.ID] = true
		}
		for id, r := range latest {
			if r.value != nil && !there[id] {
				h.t.Errorf("%s id %d is in the topic, and the tenant does not have it", object, id)
			}
		}
	}
	return records
}

// contents gives what a record holds, in one form for all, whatever schema
// it has; "" if its row never was like that.
func (h *harness) contents(tenant *coupatest.Tenant, object string) func(readRecord) string {
	h.t.Helper()
	encode := h.rowEncoder(object, schemas.Options{})
	versions, forms := map[int64][][]byte{}, map[int64][]string{} // by row: as JSON, and in that form
	for _, v := range tenant.Versions(object) {
		versions[v.ID] = append(versions[v.ID], v.JSON)
		forms[v.ID] = append(forms[v.ID], string(encode(v.JSON)))
	}
	type written struct {
		schema int
		row    int64
	}
	encoders, existed := map[int]func([]byte) []byte{}, map[written]map[string]string{} // by value: its form
	return func(r readRecord) string {
		by := written{schemaID(r.value), r.id}
		if encoders[by.schema] == nil {
			encoders[by.schema] = h.rowEncoder(object, h.registry.options(h.t, by.schema))
		}
		if existed[by] == nil {
			existed[by] = map[string]string{}
			for i, row := range versions[by.row] {
				existed[by][string(encoders[by.schema](row))] = forms[by.row][i]
			}
		}
		return existed[by][string(r.value[5:])]
	}
}

// encoder encodes rows as the worker does, without framing. A row that can't be encoded gives nil.
func (h *harness) encoder(object string, options schemas.Options) func(row []byte) []byte {
	h.t.Helper()
	s, err := schemas.For(object, options)
	if err != nil {
		h.t.Fatal(err)
	}
	kept.Store(s, true)
	keepsUnreadable := h.keys["errors.tolerance"] == config.ToleranceUnmapped
	by := encodedBy{s, keepsUnreadable}
	if h.encoders[by] != nil {
		return h.encoders[by]
	}
	plan, err := s.Plan()
	if err != nil {
		h.t.Fatal(err)
	}
	enc := plan.Encoder()
	enc.KeepUnreadable = keepsUnreadable
	encoded := map[string][]byte{} // by row: tests encode the same ones again and again
	h.encoders[by] = func(row []byte) []byte {
		b, known := encoded[string(row)]
		if !known {
			var err error
			if b, err = enc.Append(nil, row); err != nil {
				b = nil
			}
			b = slices.Clip(b)
			encoded[string(row)] = b
		}
		return b
	}
	return h.encoders[by]
}

// encodedBy is what an encoder of the harness is made of.
type encodedBy struct {
	schema          *schemas.Schema
	keepsUnreadable bool
}

// kept holds on to schemas, which package schemas shares as long as somebody holds
// them: most tests have the same ones, and making them is most of their work.
var kept sync.Map

// memoryRegistry gives every schema an id.
type memoryRegistry struct {
	mu     sync.Mutex
	all    []string
	fail   error
	known  bool                     // fail is for what is not there yet
	refuse func(schema string) bool // as incompatible
	// it answers nothing; what was registered once is known all the same, as registry.Client has it
	hangs bool
	slow  time.Duration // an answer of Latest is on its way for so long; set before anybody asks
}

// set changes how the registry answers, also while it is asked.
func (r *memoryRegistry) set(change func(*memoryRegistry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *memoryRegistry) id(subject, schema string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := subject + "\x00" + schema
	i := slices.Index(r.all, key)
	if i < 0 {
		i = len(r.all)
		r.all = append(r.all, key)
	}
	return i + 1
}

// options are those that a value's schema was made with.
func (r *memoryRegistry) options(t *testing.T, id int) schemas.Options {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	_, text, _ := strings.Cut(r.all[id-1], "\x00")
	fields, typed, err := custom.FromSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	if !typed {
		fields = nil
	}
	return schemas.Options{Custom: fields, WithoutCustomFields: !strings.Contains(text, "custom_fields")}
}

func (r *memoryRegistry) Register(ctx context.Context, subject, schema string) (int, error) {
	r.mu.Lock()
	there, fail, known, refuse, hangs := slices.Contains(r.all, subject+"\x00"+schema), r.fail, r.known, r.refuse, r.hangs
	r.mu.Unlock()
	switch {
	case hangs && !there:
		return 0, silence(ctx)
	case fail != nil && !(known && there):
		return 0, fail
	case refuse != nil && refuse(schema):
		return 0, &registry.Error{Subject: subject, Act: "registering", Status: http.StatusConflict, Answer: "incompatible", Hint: "none"}
	}
	return r.id(subject, schema), nil
}

func (r *memoryRegistry) Lookup(ctx context.Context, subject, schema string) (int, error) {
	return r.Register(ctx, subject, schema)
}

// silence is a registry that does not answer, until the client gives up.
func silence(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	<-ctx.Done()
	return ctx.Err()
}

func (r *memoryRegistry) Latest(ctx context.Context, subject string) (string, error) {
	defer func() { time.Sleep(r.slow) }() // what it has said may be old then
	r.mu.Lock()
	if r.hangs {
		r.mu.Unlock()
		err := silence(ctx)
		r.mu.Lock()
		if r.hangs {
			r.mu.Unlock()
			return "", err
		}
	}
	defer r.mu.Unlock()
	if r.fail != nil {
		return "", r.fail
	}
	for _, key := range slices.Backward(r.all) {
		if schema, ok := strings.CutPrefix(key, subject+"\x00"); ok {
			return schema, nil
		}
	}
	return "", nil
}

// Watch has nothing to find: ids never change.
func (*memoryRegistry) Watch(ctx context.Context) { <-ctx.Done() }

func (*memoryRegistry) Generation() uint64 { return 0 }

func (*memoryRegistry) Forget(string) {}

func (*memoryRegistry) Replaced(string) (registry.Replacement, bool) {
	return registry.Replacement{}, false
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var _ io.Writer = (*syncBuffer)(nil)
