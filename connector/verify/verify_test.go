package verify_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/verify"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// scene is a tenant of five suppliers and a topic that a test writes by hand.
type scene struct {
	t       *testing.T
	tenant  *coupatest.Tenant
	kafka   []kgo.Opt
	cluster *kfake.Cluster
	schemas texts
	object  config.Object
	writer  *kgo.Client
}

// texts are schemas by their ids.
type texts map[int]string

func (s texts) Schema(_ context.Context, id int) (string, error) { return s[id], nil }

func compare(t *testing.T, f func(*scene)) {
	t.Helper()
	compareOf(t, "suppliers", f)
}

func compareOf(t *testing.T, path string, f func(*scene)) {
	t.Helper()
	compareIn(t, path, []string{"coupa.suppliers"}, f)
}

// compareIn has the topics that are there.
func compareIn(t *testing.T, path string, topics []string, f func(*scene)) {
	t.Helper()
	compareRows(t, path, 5, topics, f)
}

// compareRows has a tenant of so many rows.
func compareRows(t *testing.T, path string, rows int, topics []string, f func(*scene)) {
	t.Helper()
	objects := []string{path}
	if r, _ := coupa.LookupResource(path); r.Parent != "" {
		objects = []string{r.Parent, path}
	}
	synctest.Test(t, func(t *testing.T) {
		network := &kfake.VirtualNetwork{}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.SleepOutOfOrder(), kfake.SeedTopics(3, topics...))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		s := &scene{
			t: t, cluster: cluster, schemas: texts{},
			tenant: coupatest.New(coupatest.Config{Rows: rows, ClientID: "id", ClientSecret: "secret", Objects: objects}),
			kafka:  []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(network.DialContext)},
			object: config.Object{
				Path: path, Topic: "coupa.suppliers", Lines: config.LinesTopics, PollInterval: time.Second, InitialFrom: config.InitialFrom{Earliest: true},
			},
		}
		s.writer, err = kgo.NewClient(append(s.kafka, kgo.TransactionalID("writer"))...)
		if err != nil {
			t.Fatal(err)
		}
		defer s.writer.Close()
		<-time.After(time.Hour)
		f(s)
	})
}

// publish commits records, or aborts them.
func (s *scene) publish(commit kgo.TransactionEndTry, records ...*kgo.Record) {
	s.t.Helper()
	if err := s.writer.BeginTransaction(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.writer.ProduceSync(s.t.Context(), records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.writer.EndTransaction(s.t.Context(), commit); err != nil {
		s.t.Fatal(err)
	}
}

func recordOf(tenant string, id int64, at time.Time, value string) *kgo.Record {
	r := &kgo.Record{Topic: "coupa.suppliers", Key: schemas.AppendKey(schemas.AppendHeader(nil, 1), tenant, id), Headers: []kgo.RecordHeader{
		{Key: record.HeaderTenant, Value: []byte(tenant)}, {Key: record.HeaderObject, Value: []byte("suppliers")},
		{Key: record.HeaderUpdatedAt, Value: []byte(at.UTC().Format(time.RFC3339))},
	}}
	if value != "" {
		r.Value = []byte(value)
	}
	return r
}

func (s *scene) config() verify.Config {
	s.t.Helper()
	source, err := coupa.New(coupa.Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "secret", Transport: s.tenant.Transport()})
	if err != nil {
		s.t.Fatal(err)
	}
	return verify.Config{Kafka: s.kafka, Source: source, Schemas: s.schemas, Tenant: "acme", Object: s.object}
}

// report is the comparison's, with its findings as texts.
func (s *scene) report() (verify.Report, []string) {
	s.t.Helper()
	r, err := verify.Object(s.t.Context(), s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	var findings []string
	for _, f := range r.Findings {
		findings = append(findings, fmt.Sprint(f.Difference, " ", f.ID))
	}
	return r, findings
}

func TestATopicThatHoldsWhatCoupaHoldsDoesNotDiffer(t *testing.T) {
	compare(t, func(s *scene) {
		var all []*kgo.Record
		for _, row := range s.tenant.Rows("suppliers") {
			all = append(all, recordOf("acme", row.ID, row.UpdatedAt.Add(-time.Minute), "old"), recordOf("acme", row.ID, row.UpdatedAt, "new"))
		}
		s.publish(kgo.TryCommit, all...)
		s.publish(kgo.TryAbort, recordOf("acme", 99, time.Now(), "aborted"))
		s.publish(kgo.TryCommit, recordOf("other", 77, time.Now(), "of another tenant"))
		r, found := s.report()
		if found != nil || r.Rows != 5 || r.Records != 10 || r.Truncated {
			t.Errorf("%+v", r)
		}
	})
}

// Nothing orders records of two partitions: the version with
// the latest stamp counts, whichever is read first.
func TestIdsInSeveralPartitionsAreCountedAndTheirLatestVersionCounts(t *testing.T) {
	compare(t, func(s *scene) {
		writer, err := kgo.NewClient(append(s.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Close()
		for i, row := range s.tenant.Rows("suppliers") {
			older, newer := recordOf("acme", row.ID, row.UpdatedAt.Add(-time.Minute), "old"), recordOf("acme", row.ID, row.UpdatedAt, "new")
			switch i {
			case 0:
				older.Partition, newer.Partition = 0, 2
			case 1:
				older.Partition, newer.Partition = 2, 0
			}
			if err := writer.ProduceSync(s.t.Context(), older, newer).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if r, found := s.report(); found != nil || r.Spread != 2 {
			t.Errorf("%v, %+v", found, r)
		}
	})
}

func TestEachDifferenceIsFound(t *testing.T) {
	compare(t, func(s *scene) {
		rows := s.tenant.Rows("suppliers")
		at := func(i int) time.Time { return rows[i].UpdatedAt }
		id := func(i int) int64 { return rows[i].ID }
		gone := s.tenant.Create("suppliers")
		deleted := s.tenant.Create("suppliers")
		s.tenant.Delete("suppliers", gone.ID)
		s.tenant.Delete("suppliers", deleted.ID)
		late := s.tenant.Create("suppliers") // may be on its way
		s.publish(kgo.TryCommit,
			recordOf("acme", id(1), at(1).Add(-time.Hour), "older"),
			recordOf("acme", id(2), at(2), "twice"), recordOf("acme", id(2), at(2), "twice"),
			recordOf("acme", id(3), at(3), "lines"), recordOf("acme", id(3), at(3), "other lines"),
			recordOf("acme", id(4), at(4), "row"),
			recordOf("acme", gone.ID, gone.UpdatedAt, "gone"),
			recordOf("acme", deleted.ID, deleted.UpdatedAt, "gone"), recordOf("acme", deleted.ID, deleted.UpdatedAt, ""),
		)
		s.publish(kgo.TryAbort, recordOf("acme", id(0), at(0), "never seen"))
		_, found := s.report()
		want := []string{
			fmt.Sprint("missing ", id(0)), fmt.Sprint("stale ", id(1)), fmt.Sprint("duplicate ", id(2)), fmt.Sprint("extra ", gone.ID),
		}
		if !slices.Equal(found, want) {
			t.Errorf("found %q, want %q (%d is too new to tell)", found, want, late.ID)
		}
	})
}

// A row that is exported may be in the topic as it was before, or not at all.
func TestRowsThatAreNotStreamedAreNotCompared(t *testing.T) {
	compareOf(t, "invoices", func(s *scene) {
		s.object.ExportedMode = config.ExportedFilter
		rows := s.tenant.Rows("invoices")
		at := func(i int) time.Time { return rows[i].UpdatedAt }
		there := []*kgo.Record{
			recordOf("acme", rows[0].ID, at(0).Add(-time.Hour), "older"), recordOf("acme", rows[2].ID, at(2).Add(-time.Hour), "older"),
			recordOf("acme", rows[3].ID, at(3), "row"), recordOf("acme", 99, at(3), "gone"),
		}
		for _, r := range there {
			r.Headers[1].Value = []byte("invoices")
		}
		s.publish(kgo.TryCommit, there...)
		s.tenant.MarkExported("invoices", rows[0].ID)
		s.tenant.MarkExported("invoices", rows[1].ID)
		r, found := s.report()
		want := []string{fmt.Sprint("missing ", rows[4].ID), fmt.Sprint("stale ", rows[2].ID), "extra 99"}
		if !slices.Equal(found, want) || r.Exported != 2 || r.Rows != 3 {
			t.Errorf("found %q, want %q; %d rows compared, %d exported", found, want, r.Rows, r.Exported)
		}
	})
}

func TestRowsBeforeTheBeginningOfAStreamAreNotMissed(t *testing.T) {
	compare(t, func(s *scene) {
		s.object.InitialFrom = config.InitialFrom{At: time.Now()}
		if r, found := s.report(); found != nil || r.Rows != 5 {
			t.Errorf("%+v", r)
		}
		s.object.InitialFrom = config.InitialFrom{Latest: true}
		if r, found := s.report(); found != nil {
			t.Errorf("%+v", r)
		}
	})
}

// Rows without updated-at are compared by their ids, whatever format their keys have.
func TestRowsWithoutUpdatedAtAreComparedByID(t *testing.T) {
	compareOf(t, "currencies", func(s *scene) {
		var records []*kgo.Record
		for _, row := range s.tenant.Rows("currencies")[1:] {
			r := recordOf("acme", row.ID, time.Time{}, "x")
			r.Headers[1].Value, r.Headers = []byte("currencies"), r.Headers[:2]
			records = append(records, r, r)
		}
		gone := recordOf("acme", 99, time.Time{}, "x")
		gone.Key, gone.Headers[1].Value, gone.Headers = schemas.AppendJSONKey(nil, "acme", 99), []byte("currencies"), gone.Headers[:2]
		for _, r := range append(records, gone) {
			again := *r
			s.publish(kgo.TryCommit, &again)
		}
		_, findings := s.report()
		if want := []string{"missing 1", "extra 99"}; len(findings) != 2 || !strings.HasPrefix(findings[0], want[0]) || !strings.HasPrefix(findings[1], want[1]) {
			t.Errorf("%q, want %q", findings, want)
		}
	})
}

// Rows below others can't be asked for by their ids; those
// that came while the comparison ran are no difference either.
func TestRowsBelowOthersAreComparedByID(t *testing.T) {
	const path = "contracts/legal_documents"
	compareOf(t, path, func(s *scene) {
		publish := func(id int64) {
			r := recordOf("acme", id, time.Time{}, "x")
			r.Headers[1].Value, r.Headers = []byte(path), r.Headers[:2]
			s.publish(kgo.TryCommit, r)
		}
		rows := s.tenant.Rows(path)
		for _, row := range rows[1:] {
			publish(row.ID)
		}
		publish(99)
		came := false
		s.tenant.OnRequest(func(r coupatest.Request) {
			if !came && r.Object == path && strings.HasPrefix(r.Path, fmt.Sprintf("/api/contracts/%d/", s.tenant.Rows("contracts")[4].ID)) {
				came = true
				publish(s.tenant.Create(path).ID)
			}
		})
		_, findings := s.report()
		if want := []string{fmt.Sprint("missing ", rows[0].ID), "extra 99"}; !came || !slices.Equal(findings, want) {
			t.Errorf("%q, want %q", findings, want)
		}
	})
}
