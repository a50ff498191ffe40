package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/contract"
	"github.com/coupastream/coupastream/connector/explain"
	"github.com/coupastream/coupastream/connector/logging"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/sweep"
)

// fake is a worker in memory that does what Connect does: what it is told, it is at once.
type fake struct {
	mu         sync.Mutex
	connectors map[string]status.ConnectorStatus
	offsets    map[string][]status.Offset
	levels     map[string]string // of the cluster
	snapshots  []status.Snapshot
	approved   bool
	settings   *config.Worker
	owner      status.Owner // of every new connector
	ready      error
	ill        error
	broken     error // what every change fails with
	restarted  []connector.RestartRequest
	movedBy    status.Asker
	elsewhere  map[string]status.ConnectorStatus // what is known after a Refresh
	rung       []string
}

const self = "127.0.0.1:8083"

func newFake(t *testing.T) *fake {
	t.Helper()
	settings, err := config.ParseWorker(map[string]string{"bootstrap.servers": "127.0.0.1:9092", "schema.registry.url": "http://127.0.0.1:8081"}, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return &fake{
		connectors: map[string]status.ConnectorStatus{}, offsets: map[string][]status.Offset{}, levels: map[string]string{}, settings: settings,
		owner: status.Owner{WorkerID: self, URL: "http://" + self, Local: true},
	}
}

// nothing is the environment: the client's id and secret.
func nothing(name string) (string, bool) { return "x", name == "COUPA_ID" || name == "COUPA_SECRET" }

func (f *fake) Validate(cfg map[string]string) error {
	_, err := f.settings.ParseSubmitted(cfg, nothing)
	return err
}

// api is the REST API of f.
func (f *fake) api(t *testing.T) *API {
	t.Helper()
	levels, err := logging.New(slog.DiscardHandler, "INFO")
	if err != nil {
		t.Fatal(err)
	}
	levels.Logger("connector.task")
	a := New(f, Options{Version: "v1", Commit: "abc", Loggers: levels, Hooks: true, Peers: http.DefaultClient, Log: slog.New(slog.DiscardHandler)})
	a.now = func() time.Time { return time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC) }
	return a
}

func (f *fake) Connectors() []status.ConnectorStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.connectors), func(a, b status.ConnectorStatus) int { return strings.Compare(a.Name, b.Name) })
}

func (f *fake) Connector(name string) (status.ConnectorStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.get(name)
}

func (f *fake) get(name string) (status.ConnectorStatus, error) {
	c, found := f.connectors[name]
	if !found {
		return c, connector.ErrUnknownConnector
	}
	return c, nil
}

func (f *fake) Create(_ context.Context, name string, cfg map[string]string, initial status.State) (status.ConnectorStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.put(name, cfg, initial, false)
}

// put makes or changes a connector.
func (f *fake) put(name string, cfg map[string]string, initial status.State, over bool) (status.ConnectorStatus, error) {
	parsed, err := f.settings.ParseSubmitted(cfg, nothing)
	before, found := f.connectors[name]
	switch {
	case f.broken != nil:
		return before, f.broken
	case found && before.FromFile:
		return before, connector.ErrFromFile
	case err != nil:
		return before, err
	case found && !over:
		return before, connector.ErrConnectorExists
	}
	c := status.ConnectorStatus{Name: name, Tenant: parsed.Tenant, State: status.State(parsed.InitialState), Config: maps.Clone(cfg), Owner: f.owner}
	if initial != "" {
		c.State = initial
	}
	if c.Untold = status.NeverRan.Then(c.State); found {
		c.State, c.Untold = before.State, before.Untold
	}
	for i, o := range parsed.Objects {
		c.Tasks = append(c.Tasks, status.TaskStatus{ID: i, Object: o.Path, Topic: o.Topic, LineTopics: o.LineTopics(), State: c.State})
	}
	f.connectors[name] = c
	return c, nil
}

func (f *fake) NoteVerified(_ context.Context, name, tenant string, all []status.Compared) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.get(name)
	if err != nil || f.broken != nil {
		return errors.Join(err, f.broken)
	}
	for _, one := range all {
		i := slices.IndexFunc(c.Tasks, func(t status.TaskStatus) bool { return t.Object == one.Object && t.Topic == one.Topic })
		if i < 0 || c.Tenant != tenant {
			return config.Problems{{Key: "object", Value: one.Object, Message: "no object of connector " + name, Remedy: "give one of its coupa.objects"}}
		}
		one.At = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
		c.Tasks[i].Verified = one.Following(c.Tasks[i].Verified)
	}
	return nil
}

func (f *fake) Configure(_ context.Context, name string, cfg map[string]string) (status.ConnectorStatus, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, found := f.connectors[name]
	c, err := f.put(name, cfg, "", true)
	return c, !found, err
}

func (f *fake) Patch(_ context.Context, name string, changes map[string]*string) (status.ConnectorStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.get(name)
	if err != nil {
		return c, err
	}
	cfg := maps.Clone(c.Config)
	for k, v := range changes {
		if delete(cfg, k); v != nil {
			cfg[k] = *v
		}
	}
	return f.put(name, cfg, "", true)
}

func (f *fake) Delete(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.get(name)
	switch {
	case err != nil:
		return err
	case f.broken != nil:
		return f.broken
	case c.FromFile:
		return connector.ErrFromFile
	}
	delete(f.connectors, name)
	return nil
}

func (f *fake) SetState(_ context.Context, name string, s status.State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.get(name)
	if err != nil {
		return err
	}
	if f.broken != nil {
		return f.broken
	}
	c.State, c.Tasks = s, slices.Clone(c.Tasks)
	c.Untold = c.Untold.Then(s)
	for i := range c.Tasks {
		c.Tasks[i].State = s
	}
	f.connectors[name] = c
	return nil
}

func (f *fake) ResetTopics(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, err := f.get(name); err == nil && c.State != status.Running {
		c.Untold.Topics = true
		f.connectors[name] = c
	}
	return f.broken
}

// Refresh brings what another worker has stopped or made.
func (f *fake) Refresh(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.Copy(f.connectors, f.elsewhere)
	f.elsewhere = nil
	return f.broken
}

func (f *fake) SetLoggerLevel(_ context.Context, logger, level string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.levels[logger] = level
	return f.broken
}

// owned finds a connector that is this worker's.
func (f *fake) owned(name string) (status.ConnectorStatus, error) {
	c, err := f.get(name)
	if err == nil && !c.Owner.Local {
		err = &connector.NotOwnerError{Owner: c.Owner}
	}
	return c, err
}

func (f *fake) Restart(_ context.Context, name string, r connector.RestartRequest) (status.ConnectorStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.owned(name)
	if err != nil {
		return c, err
	}
	if r.Task != nil && *r.Task >= len(c.Tasks) {
		return c, connector.ErrUnknownTask
	}
	f.restarted = append(f.restarted, r)
	return c, nil
}

func (f *fake) Offsets(_ context.Context, name string) ([]status.Offset, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.owned(name)
	return f.offsets[name], err
}

func (f *fake) AlterOffsets(ctx context.Context, name string, offsets []status.Offset, by status.Asker) error {
	if c, err := f.Connector(name); err == nil && c.State != status.Stopped {
		return connector.ErrNotStopped
	}
	return f.MoveOffsets(ctx, name, offsets, by)
}

func (f *fake) MoveOffsets(_ context.Context, name string, offsets []status.Offset, by status.Asker) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.movedBy = by
	if _, err := f.owned(name); err != nil {
		return err
	}
	for _, o := range offsets {
		if o.UpdatedAt.Year() > 2100 {
			return config.Problems{{Key: "offset.updated_at", Message: "lies in the future", Remedy: "give an instant that has passed"}}
		}
		kept := slices.DeleteFunc(slices.Clone(f.offsets[name]), func(other status.Offset) bool { return other.Object == o.Object })
		if !o.Reset {
			kept = append(kept, o)
		}
		f.offsets[name] = kept
	}
	return nil
}

func (f *fake) WeighOffsets(_ context.Context, name string, offsets []status.Offset) ([]status.Weight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.owned(name); err != nil {
		return nil, err
	}
	var all []status.Weight
	for _, o := range offsets {
		all = append(all, status.Weight{Object: o.Object, To: o, Again: status.Count{Rows: 1200, About: true}, LeftOut: status.Count{Unknown: "Coupa answers 503"}})
	}
	return all, nil
}

func (f *fake) ResetOffsets(_ context.Context, name string, _ status.Asker) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.owned(name)
	if err != nil {
		return err
	}
	if c.State != status.Stopped {
		return connector.ErrNotStopped
	}
	delete(f.offsets, name)
	return nil
}

func (f *fake) Snapshot(_ context.Context, name string, r status.SnapshotRequest) (status.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.owned(name)
	switch {
	case err != nil:
		return status.Snapshot{}, err
	case !slices.Contains(objectsOf(c), r.Object):
		return status.Snapshot{}, config.Problems{{Key: "object", Value: r.Object, Message: "no object of connector " + name, Remedy: "give one of its coupa.objects"}}
	case len(f.snapshots) > 2:
		return status.Snapshot{}, fmt.Errorf("%w: 3 snapshots of %s wait already", shard.ErrBusy, r.Object)
	}
	s := status.Snapshot{
		ID: fmt.Sprintf("S%d", len(f.snapshots)+1), Object: r.Object, State: checkpoint.RequestRunning, Asked: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
		From: r.From, To: r.To, Filter: r.Filter.Encode(), Total: int64(len(r.IDs)),
	}
	f.snapshots = append(f.snapshots, s)
	return s, nil
}

func (f *fake) Snapshots(_ context.Context, name string) ([]status.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.owned(name)
	return f.snapshots, err
}

func (f *fake) SetSnapshot(_ context.Context, name, id string, state checkpoint.RequestState) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.owned(name); err != nil {
		return err
	}
	i := slices.IndexFunc(f.snapshots, func(s status.Snapshot) bool { return s.ID == id && s.State != checkpoint.RequestCancelled })
	if i < 0 {
		return connector.ErrUnknownSnapshot
	}
	f.snapshots[i].State = state
	return nil
}

func (f *fake) Ring(name, object string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.get(name)
	switch {
	case err != nil:
		return err
	case !slices.ContainsFunc(c.Tasks, func(t status.TaskStatus) bool { return t.Object == object }):
		return fmt.Errorf("%w: %s", connector.ErrNoDoorbell, object)
	case !c.Owner.Local && c.Owner.URL != "":
		return &connector.NotOwnerError{Owner: c.Owner}
	}
	f.rung = append(f.rung, name+"/"+object)
	return nil
}

func (f *fake) parsed(name string) (*config.Connector, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.get(name)
	if err != nil {
		return nil, err
	}
	return f.settings.ParseSubmitted(c.Config, nothing)
}

// Schemas are those of the configuration.
func (f *fake) Schemas(name string, objects []string) ([]contract.Schema, error) {
	parsed, err := f.parsed(name)
	if err != nil {
		return nil, err
	}
	return contract.Schemas(parsed, objects)
}

// Contract is that of the configuration.
func (f *fake) Contract(name string, objects []string) (*contract.Document, error) {
	parsed, err := f.parsed(name)
	if err != nil {
		return nil, err
	}
	return contract.Of(f.settings, parsed, objects)
}

// Explain knows a row that waits for a poll, with a line.
func (f *fake) Explain(_ context.Context, name string, r explain.Request) (*explain.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.owned(name); err != nil {
		return nil, err
	}
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	if r.Progress != nil {
		r.Progress(explain.Progress{Topic: "coupa.invoices", Records: 7, Bytes: 700, Back: &at})
	}
	if r.ID == 13 {
		return nil, errBroker
	}
	found := &explain.Record{Topic: "coupa.invoices", Partition: 2, Offset: 17, Op: "upsert", UpdatedAt: &at, Written: at, Schema: 5}
	return &explain.Answer{
		Connector: name, Tenant: "acme", Object: r.Object, ID: r.ID, At: at, Case: "waits_poll", Sentence: "Waits for the next poll.", Next: "Ask again.",
		Coupa:  explain.Coupa{Asked: true, Shown: true, UpdatedAt: &at, Lines: []explain.Line{{List: "invoice_lines", ID: 1, Record: found}}},
		Record: found, Searches: []explain.Search{{Topic: "coupa.invoices", Records: r.Most, Through: true}},
		Ledger: explain.Ledger{Floor: &at, Versions: []explain.Published{{UpdatedAt: &at}}},
		State: explain.State{
			State: status.Running, Interval: 1000, Backfill: &explain.Walk{Kind: "snapshot", Rows: 7}, LookBacks: []explain.Looked{{Depth: 3600000, Every: 600000}},
		},
	}, nil
}

// ApproveDeletes finds a sweep of the first object that waits, once.
func (f *fake) ApproveDeletes(_ context.Context, name, object string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.owned(name)
	if err == nil && (!slices.Contains(objectsOf(c), object) || f.approved) {
		err = sweep.ErrNothing
	}
	f.approved = true
	return err
}

func (f *fake) ClusterID() string { return "cluster-1" }
func (f *fake) Ready() error      { return f.ready }
func (f *fake) Reachable() error  { return f.ill }

func (f *fake) Watch(ctx context.Context) <-chan struct{} { return make(chan struct{}) }

func (f *fake) Metrics() prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "coupastream_thing", Help: "A thing."}, func() float64 { return 7 }))
	return registry
}

var _ Worker = (*fake)(nil)

// ask sends one request.
func ask(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	var content io.Reader = http.NoBody
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://"+self+target, content)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// config of a small connector, as JSON members.
const acmeConfig = `"connector.class":"CoupaSource","coupa.client.id":"${env:COUPA_ID}","coupa.client.secret":"${env:COUPA_SECRET}","coupa.objects":"invoices, users","coupa.url":"https://acme.coupahost.com"`

// running makes f have the connector acme.
func (f *fake) running(t *testing.T, a *API) {
	t.Helper()
	if rec := ask(a, "PUT", "/connectors/acme/config", "{"+acmeConfig+"}"); rec.Code != http.StatusCreated {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

// change alters what f knows of a connector.
func (f *fake) change(name string, how func(*status.ConnectorStatus)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.connectors[name]
	c.Tasks = slices.Clone(c.Tasks)
	how(&c)
	f.connectors[name] = c
}

var errBroker = errors.New("the brokers do not answer")
