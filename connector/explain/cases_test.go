package explain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/txn"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

const partitions = 3

// scene is a tenant, topics that a test writes by hand, and what is known of the stream.
type scene struct {
	t       *testing.T
	tenant  *coupatest.Tenant
	cluster *kfake.Cluster
	kafka   []kgo.Opt
	writer  *kgo.Client
	known   Known
	cfg     Config
	row     coupatest.Version // the one that is asked for
	rows    []coupatest.Version
}

// topics of the scene; that of letters has one partition.
var topics = []string{"coupa.invoices", "coupa.invoices.invoice_lines", "coupa.dead", "coupa.users", "coupa.currencies"}

func play(t *testing.T, f func(*scene)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := &kfake.VirtualNetwork{}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.SleepOutOfOrder(), kfake.SeedTopics(partitions, topics...))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		s := &scene{
			t: t, cluster: cluster, kafka: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(network.DialContext)},
			tenant: coupatest.New(coupatest.Config{
				Rows: 90, ClientID: "id", ClientSecret: "secret", Objects: []string{"invoices", "users", "currencies"}, RateLimit: -1,
			}),
		}
		if s.writer, err = kgo.NewClient(append(slices.Clone(s.kafka), kgo.TransactionalID("writer"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...); err != nil {
			t.Fatal(err)
		}
		defer s.writer.Close()
		<-time.After(time.Hour)
		s.rows = s.tenant.Rows("invoices")
		f(s)
	})
}

// set makes the scene one of an object that goes well, and of its next row.
func (s *scene) set(path string) {
	s.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	o := config.Object{
		Path: path, Topic: "coupa." + path, Lines: config.LinesEmbedded, Overlap: time.Minute, Lookback: 7 * 24 * time.Hour, Settle: 2 * time.Second, Reread: time.Hour,
		InitialFrom: config.InitialFrom{Earliest: true}, DLQTopic: "coupa.dead",
	}
	client, err := coupa.New(coupa.Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "secret", Transport: s.tenant.Transport()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.known = Known{
		Task:     status.TaskStatus{State: status.Running, Condition: status.Idle, Mark: now, Interval: time.Second},
		Position: checkpoint.Position{Seq: 1, Mark: now, Lines: now, Floor: now.Add(-7 * 24 * time.Hour), Looked: []time.Time{now, now}},
	}
	s.cfg = Config{
		Connector: "acme", Tenant: "acme", Stream: o, Kafka: s.kafka, Source: client,
		Key:       func(id int64) ([]byte, bool) { return keyOf(id), true },
		Known:     func(context.Context) (Known, error) { return s.known, nil },
		LookBacks: []LookBack{{24 * time.Hour, 4 * time.Hour}, {7 * 24 * time.Hour, 28 * time.Hour}},
	}
	s.row = s.rows[0]
	if path != "invoices" {
		s.row = s.tenant.Rows(path)[0]
		return
	}
	s.rows = s.rows[1:]
	s.stamp(now.Add(-time.Hour))
}

// stamp has Coupa show the row as of an instant.
func (s *scene) stamp(at time.Time) {
	s.t.Helper()
	text := regexp.MustCompile(`"updated-at":"[^"]*"`).ReplaceAllString(string(s.row.JSON), `"updated-at":"`+at.UTC().Format(time.RFC3339)+`"`)
	s.row = s.tenant.SetRaw("invoices", s.row.ID, []byte(text))
	s.row.UpdatedAt = at.UTC()
}

// saved takes a row with its lines, saved now.
func (s *scene) saved() {
	s.row, s.rows = s.tenant.Update("invoices", s.rows[0].ID), s.rows[1:]
}

func keyOf(id int64) []byte { return schemas.AppendKey(schemas.AppendHeader(nil, 1), "acme", id) }

// of is a record of an id in a topic, in the partition of its key.
func (s *scene) of(topic string, id int64, at time.Time, op string) *kgo.Record {
	r := &kgo.Record{Topic: topic, Key: keyOf(id), Value: append(schemas.AppendHeader(nil, 7), "secret value"...), Headers: []kgo.RecordHeader{
		{Key: record.HeaderTenant, Value: []byte("acme")}, {Key: record.HeaderObject, Value: []byte(s.cfg.Stream.Path)}, {Key: record.HeaderOp, Value: []byte(op)},
	}}
	if !at.IsZero() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: record.HeaderUpdatedAt, Value: []byte(at.UTC().Format(time.RFC3339))})
	}
	if op == record.OpDelete {
		r.Value = nil
	}
	r.Partition = txn.PartitionOf(r, partitions)
	return r
}

func (s *scene) publish(records ...*kgo.Record) {
	s.t.Helper()
	s.end(kgo.TryCommit, records...)
}

func (s *scene) end(how kgo.TransactionEndTry, records ...*kgo.Record) {
	s.t.Helper()
	if err := s.writer.BeginTransaction(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.writer.ProduceSync(s.t.Context(), records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.writer.EndTransaction(s.t.Context(), how); err != nil {
		s.t.Fatal(err)
	}
}

// published publishes the row as of an instant, and has the ledger know that.
func (s *scene) published(at time.Time) {
	s.t.Helper()
	s.publish(s.of(s.cfg.Stream.Topic, s.row.ID, at, record.OpUpsert))
	s.knows(at)
}

func (s *scene) knows(at time.Time) {
	s.known.Entries = append(s.known.Entries, checkpoint.Entry{ID: s.row.ID, At: at.Unix(), UpdatedAt: at.Unix()})
}

func (s *scene) letter(at time.Time) {
	s.t.Helper()
	r := s.of("coupa.dead", s.row.ID, at, record.OpUpsert)
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: record.HeaderErrorMessage, Value: []byte("field gross-total: the text is no number")})
	r.Partition = 0 // as another number of partitions would have it
	s.publish(r)
}

// cut leaves no broker to ask.
func (s *scene) cut() {
	s.cfg.Kafka = []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9"), s.kafka[1], kgo.RequestRetries(0), kgo.RetryTimeout(time.Second)}
}

func (s *scene) backfill(kind checkpoint.WalkKind, after int64) {
	s.known.Position.Backfill = &checkpoint.Walk{Kind: kind, To: s.known.Position.Mark, Ranges: []checkpoint.Range{{After: after}}, Rows: 40}
	s.known.Task.Progress = status.Progress{Done: 40, Total: 90, Left: time.Minute}
}

func (s *scene) ask() *Answer {
	s.t.Helper()
	s.cfg.ID = s.row.ID
	a, err := Row(s.t.Context(), s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// before is a stamp of the row before the one that Coupa shows.
func (s *scene) before() time.Time { return s.row.UpdatedAt.Add(-time.Hour) }

// scenarios bring each case about.
var scenarios = []struct {
	is   Case
	says string // of the sentence, or of what to do
	make func(*scene)
}{
	{"no_scope", "grant", func(s *scene) { s.tenant.Inject(coupatest.Fault{Kind: coupatest.Forbidden403, Object: "invoices"}) }},
	{"coupa_unanswered", "The topic has it", func(s *scene) {
		s.published(s.row.UpdatedAt)
		s.tenant.Inject(coupatest.Fault{Kind: coupatest.WebPage404, Object: "invoices", Count: 50})
	}},
	{"deleted", "delete at coupa.invoices", func(s *scene) {
		s.published(s.row.UpdatedAt)
		s.publish(s.of("coupa.invoices", s.row.ID, s.row.UpdatedAt, record.OpDelete))
		s.tenant.Delete("invoices", s.row.ID)
	}},
	{"blind", "no row of invoices at all", func(s *scene) {
		s.published(s.row.UpdatedAt)
		s.tenant.LeaveOut("invoices", s.row.ID, -1)
		s.known.Task.Condition = status.Blind
	}},
	{"gone_or_hidden", "can't tell", func(s *scene) {
		s.published(s.row.UpdatedAt)
		s.tenant.LeaveOut("invoices", s.row.ID, -1)
	}},
	{"gone_or_hidden", "the next one finds it", func(s *scene) {
		s.published(s.row.UpdatedAt)
		s.tenant.LeaveOut("invoices", s.row.ID, -1)
		s.known.Task.Deletes = &status.Deletes{Ended: time.Now().Add(-time.Hour)}
	}},
	{"gone_or_hidden", "coupastream deletes approve acme invoices", func(s *scene) {
		s.published(s.row.UpdatedAt)
		s.tenant.LeaveOut("invoices", s.row.ID, -1)
		s.known.Task.Deletes = &status.Deletes{Ended: time.Now().Add(-time.Hour), Why: "21 of 90 rows are missing"}
	}},
	{"not_visible", "no record of it", func(s *scene) { s.row.ID = 4711 }},
	{"unsent", "Coupa's support", func(s *scene) { s.tenant.Fail("invoices", s.row.ID, false) }},
	{"no_such_version", "it has the row as of", func(s *scene) { s.cfg.UpdatedAt = s.row.UpdatedAt.Add(time.Second) }},
	{"version_published", "offset", func(s *scene) {
		s.cfg.UpdatedAt = s.before()
		s.published(s.before())
		s.published(s.row.UpdatedAt)
	}},
	{"version_dead_letter", "no number", func(s *scene) {
		s.cfg.UpdatedAt = s.before()
		s.letter(s.before())
		s.published(s.row.UpdatedAt)
	}},
	{"passed_over", "saved again", func(s *scene) {
		s.cfg.UpdatedAt = s.before()
		s.published(s.before().Add(-time.Hour))
		s.published(s.row.UpdatedAt)
	}},
	{"topic_unread", "ACL Read", func(s *scene) {
		s.knows(s.row.UpdatedAt)
		s.cut()
	}},
	{"topic_unread", "Whether it is a dead letter is not known", (*scene).cut},
	{"further_back", "--search", func(s *scene) {
		s.published(s.row.UpdatedAt)
		for range 3 {
			s.publish(s.of("coupa.invoices", s.row.ID+1000, s.row.UpdatedAt, record.OpUpsert))
		}
		s.cfg.Most = -1
	}},
	{"set_back", "later version than Coupa shows", func(s *scene) { s.published(s.row.UpdatedAt.Add(time.Minute)) }},
	{"published", "Coupa's version of now", func(s *scene) { s.published(s.row.UpdatedAt) }},
	{"published", "no updated-at", func(s *scene) {
		s.tenant.Undate("invoices", s.row.ID)
		s.published(time.Time{})
	}},
	{"published", "compared every 1h", func(s *scene) {
		s.set("currencies")
		s.published(time.Time{})
	}},
	{"dead_letter", "gross-total", func(s *scene) {
		s.published(s.before())
		s.knows(s.row.UpdatedAt)
		s.letter(s.row.UpdatedAt)
	}},
	{"unreadable", "not an instant", func(s *scene) {
		s.tenant.SetRaw("invoices", s.row.ID, fmt.Appendf(nil, `{"id":%d,"updated-at":"yesterday"}`, s.row.ID))
	}},
	{"passed", "every ten minutes", func(s *scene) { s.known.Position.Passed = []int64{s.row.ID} }},
	{"expired", "retention", func(s *scene) { s.knows(s.row.UpdatedAt) }},
	{"expired", "made again", func(s *scene) {
		s.knows(s.row.UpdatedAt)
		s.known.Position.Topics = []checkpoint.Topic{{Name: "coupa.invoices", Partitions: 3, Remade: time.Now()}}
	}},
	{"exported", "exported.mode=filter", func(s *scene) {
		s.cfg.Stream.ExportedMode = config.ExportedFilter
		s.tenant.MarkExported("invoices", s.row.ID)
	}},
	{"before_initial_from", "initial.from, which is 2", func(s *scene) {
		s.cfg.Stream.InitialFrom = config.InitialFrom{At: s.row.UpdatedAt.Add(time.Second)}
	}},
	{"before_initial_from", "latest", func(s *scene) {
		s.cfg.Stream.InitialFrom, s.known.Position.Floor = config.InitialFrom{Latest: true}, s.row.UpdatedAt.Add(time.Second)
	}},
	{"nothing_reads", "lookback.ms", func(s *scene) { s.cfg.LookBacks = nil }},
	{"nothing_reads", "beyond look-backs", func(s *scene) { s.known.Position.Floor = s.row.UpdatedAt.Add(time.Second) }},
	{"stopped", "A look-back finds it then", func(s *scene) { s.known.Task.State = status.Stopped }},
	{"paused", "coupastream resume acme", func(s *scene) { s.known.Task.State = status.Paused }},
	{"unassigned", "no worker", func(s *scene) { s.known.Task.State = status.Unassigned }},
	{"circuit_open", "topic is gone", func(s *scene) {
		s.known.Task.State, s.known.Task.Trace, s.known.Task.CircuitOpen = status.Failed, "the topic is gone", true
	}},
	{"failed", "topic is gone", func(s *scene) { s.known.Task.State, s.known.Task.Trace = status.Failed, "the topic is gone" }},
	{"throttled", "rate budget", func(s *scene) { s.known.Slowed = time.Now() }},
	{"held_up", "502", func(s *scene) { s.known.Task.Trace = "502 Bad Gateway" }},
	{"waits_begin", "initial.from", func(s *scene) { s.known.Position, s.known.Task.Mark = checkpoint.Position{}, time.Time{} }},
	{"waits_reading", "read whole every 1h", func(s *scene) {
		s.set("currencies")
		s.row = s.tenant.Rows("currencies")[1]
	}},
	{"waits_search", "no poll finds it", func(s *scene) { s.tenant.Undate("invoices", s.row.ID) }},
	{"waits_backfill", "of about 90", func(s *scene) { s.backfill(checkpoint.Snapshot, s.row.ID-1) }},
	{"waits_backfill", "40 rows", func(s *scene) {
		s.tenant.Undate("invoices", s.row.ID)
		s.backfill(checkpoint.Snapshot, s.row.ID-1)
	}},
	{"waits_split", "lines wait", func(s *scene) {
		s.saved()
		s.cfg.Stream.Lines = config.LinesTopics
		s.published(s.row.UpdatedAt)
		s.backfill(checkpoint.Split, s.row.ID-1)
	}},
	{"waits_lines", "next walk by lines", func(s *scene) {
		s.saved()
		s.published(s.row.UpdatedAt)
		<-time.After(time.Hour)
		s.known.Position.Lines = time.Now()
		s.tenant.UpdateLine("invoices", s.row.ID)
	}},
	{"waits_lines", "next walk by lines", func(s *scene) {
		s.saved()
		s.published(s.row.UpdatedAt)
		<-time.After(10 * time.Second) // as long as a save may take
		s.known.Position.Lines = time.Now().Truncate(time.Second)
		s.tenant.UpdateLine("invoices", s.row.ID)
	}},
	{"published", "Coupa's version of now", func(s *scene) {
		s.saved()
		s.published(s.row.UpdatedAt)
		<-time.After(10 * time.Second)
		s.tenant.UpdateLine("invoices", s.row.ID)
		s.known.Position.Lines = time.Now().Add(time.Second)
	}},
	{"published", "Coupa's version of now", func(s *scene) {
		s.saved()
		s.published(s.row.UpdatedAt)
		<-time.After(time.Hour)
		line := s.tenant.UpdateLine("invoices", s.row.ID)
		s.known.Position.Lines = time.Now().Add(time.Minute)
		s.known.Entries = append(s.known.Entries, checkpoint.Entry{ID: line.ID, At: time.Now().Unix(), UpdatedAt: s.row.UpdatedAt.Unix()})
	}},
	{"nothing_reads", "changes of its lines are not", func(s *scene) {
		s.saved()
		s.published(s.row.UpdatedAt)
		<-time.After(time.Hour)
		s.tenant.UpdateLine("invoices", s.row.ID)
		s.known.Position.Lines = time.Now().Add(time.Hour)
	}},
	{"waits_look_back", "look-back of 24h0m0s", func(*scene) {}},
	{"waits_look_back", "look-back of 168h0m0s", func(s *scene) { s.stamp(time.Now().Add(-48 * time.Hour)) }},
	{"waits_settle", "less than 1m0s ago", func(s *scene) {
		s.cfg.Stream.Settle = time.Minute
		s.stamp(time.Now())
	}},
	{"waits_poll", "the mark is", func(s *scene) { s.stamp(time.Now().Add(-30 * time.Second)) }},
}

// Each case is brought about on a tenant and a cluster, and says in its sentence, or in what to do, what it
// must.
func TestEachCaseIsSaid(t *testing.T) {
	play(t, func(s *scene) {
		said := map[Case]bool{"not_by_id": true} // by a test of its own
		for _, one := range scenarios {
			s.tenant.ClearFaults()
			s.set("invoices")
			one.make(s)
			a := s.ask()
			said[one.is] = true
			if a.Case != one.is || !strings.Contains(a.Sentence+a.Next, one.says) {
				t.Errorf("%s: %s: %s %s; want %q", one.is, a.Case, a.Sentence, a.Next, one.says)
			}
			if a.Sentence == "" || a.Next == "" || strings.Contains(a.Sentence+a.Next, "%!") {
				t.Errorf("%s: %q, and %q to do", one.is, a.Sentence, a.Next)
			}
		}
		for _, r := range rules {
			if !said[r.Case] {
				t.Errorf("nothing brings %s about", r.Case)
			}
		}
	})
}

// Rows below others have no request by id; their topic tells all the same.
func TestARowBelowOthersIsNotAskedFor(t *testing.T) {
	play(t, func(s *scene) {
		s.set("invoices")
		s.cfg.Stream.Path = "contracts/legal_documents"
		for _, r := range coupa.Resources() {
			if r.Parent != "" {
				s.cfg.Stream.Path = r.Path
			}
		}
		s.published(time.Time{})
		if a := s.ask(); a.Case != "not_by_id" || a.Coupa.Asked || a.Record == nil {
			t.Errorf("%s: %s", a.Case, a.Sentence)
		}
	})
}

// The package's documentation and the API's description have the table, in its order.
func TestTheTableIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "# Cases")
	table, _, _ = strings.Cut(table, "//\n// #")
	var documented, there []string
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z_]+)  `).FindAllStringSubmatch(table, -1) {
		documented = append(documented, m[1])
	}
	for _, r := range rules {
		there = append(there, string(r.Case))
	}
	if !slices.Equal(documented, there) {
		t.Errorf("documented %q, there are %q", documented, there)
	}
	api, err := os.ReadFile("../rest/openapi.yaml")
	if err != nil || !strings.Contains(string(api), "enum: ["+strings.Join(there, ", ")+"]") {
		t.Errorf("the description of the API has other cases than %q: %v", there, err)
	}
}

// What is known of the stream is what nothing can be said without.
func TestWhatIsNotKnownIsAnError(t *testing.T) {
	play(t, func(s *scene) {
		s.set("invoices")
		gone := errors.New("the shard has left this worker")
		s.cfg.ID, s.cfg.Known = s.row.ID, func(context.Context) (Known, error) { return Known{}, gone }
		if _, err := Row(s.t.Context(), s.cfg); !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
	})
}
