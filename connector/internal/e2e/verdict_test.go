//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// verdict is the judge's line on one object; judge/Verdict.java says what each count means.
type verdict struct {
	Object      string
	Topic       string
	Rows        int
	Versions    int
	Records     int
	Commits     int // whose positions were compared with their rows
	Lost        int
	StaleLines  int `json:"stale_lines"`
	Repeated    int
	OutOfOrder  int `json:"out_of_order"`
	Mismatched  int
	Misplaced   int
	Mislabelled int
	Undecodable int
	Undeleted   int
	FalseDelete int `json:"false_deletes"`
	Unpublished int `json:"marked_unpublished"`
	Unmarked    int
	Aborted     int `json:"aborted_reads"`
	Torn        int
	NoRows      int `json:"positions_without_rows"`
	NoPosition  int `json:"rows_without_positions"`
	Forked      int
	Unseen      int
	Unread      int `json:"marked_unread"`
	Examples    []json.RawMessage
}

// counts are the faults by their names, in the order in which they are told.
func (v verdict) counts() []count {
	return []count{
		{"lost", v.Lost}, {"stale_lines", v.StaleLines}, {"repeated", v.Repeated}, {"out_of_order", v.OutOfOrder},
		{"mismatched", v.Mismatched}, {"misplaced", v.Misplaced}, {"mislabelled", v.Mislabelled}, {"undecodable", v.Undecodable},
		{"undeleted", v.Undeleted}, {"false_deletes", v.FalseDelete}, {"marked_unpublished", v.Unpublished}, {"unmarked", v.Unmarked},
		{"aborted_reads", v.Aborted}, {"torn", v.Torn}, {"positions_without_rows", v.NoRows}, {"rows_without_positions", v.NoPosition},
		{"forked", v.Forked},
	}
}

type count struct {
	name string
	n    int
}

// mends tells whether waiting may help: what is missing may yet come.
func (c count) mends() bool {
	return slices.Contains([]string{"lost", "stale_lines", "undeleted", "unmarked"}, c.name)
}

// findings are the counts that are not 0.
func (v verdict) findings() string {
	var out []string
	for _, c := range v.counts() {
		if c.n > 0 {
			out = append(out, fmt.Sprint(c.name, " ", c.n))
		}
	}
	return strings.Join(out, ", ")
}

func (v verdict) String() string {
	s := fmt.Sprintf("%-16s %d rows, %d versions, %d records in %d commits, %d versions replaced before they were read, %d marked before: %s", v.Object, v.Rows,
		v.Versions, v.Records, v.Commits, v.Unseen, v.Unread, cmp.Or(v.findings(), "nothing wrong"))
	for _, e := range v.Examples {
		s += "\n    " + string(e)
	}
	return s
}

// docket is what the judge is told.
type docket struct {
	bootstrap, registry, control, tenant string
	poll                                 time.Duration
	since                                time.Time
	topics                               map[string]string // object → topic
	// object → value of Coupa's `fields` that the connector sends
	fields map[string]string
	marked []string // objects of exported.mode=mark
	// with a checkpoint topic transactions are judged; rows are to be in its
	// ledger that were published within kept of their updated-at
	checkpoints string
	kept        time.Duration
	letters     string // the topic of dead letters, if any: which of them are overtaken need not be published
	uncommitted bool   // the consumer is given what is aborted, too, which the judge is to notice
}

// judge runs it. An error says that there was no verdict.
func judge(ctx context.Context, d docket) ([]verdict, error) {
	args := []string{"judge", "--bootstrap", d.bootstrap, "--registry", d.registry, "--control", d.control, "--tenant", d.tenant,
		"--poll-ms", strconv.FormatInt(d.poll.Milliseconds(), 10), "--since", d.since.UTC().Format(time.RFC3339)}
	if d.checkpoints != "" {
		args = append(args, "--checkpoints", d.checkpoints, "--kept-ms", strconv.FormatInt(d.kept.Milliseconds(), 10))
		if d.letters != "" {
			args = append(args, "--letters", d.letters)
		}
	}
	if d.uncommitted {
		args = append(args, "--isolation", "read_uncommitted")
	}
	for object, topic := range d.topics {
		args = append(args, object+"="+topic)
		if fields := d.fields[object]; fields != "" {
			args = append(args, "--select", object+"="+fields)
		}
	}
	for _, object := range d.marked {
		args = append(args, "--marked", object)
	}
	cmd := exec.CommandContext(ctx, "./java.sh", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		return nil, fmt.Errorf("the judge: %w", err)
	}
	var verdicts []verdict
	for line := range strings.Lines(string(out)) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			return nil, fmt.Errorf("the judge's line %q: %w", line, err)
		}
		verdicts = append(verdicts, v)
	}
	if len(verdicts) != len(d.topics) {
		return nil, fmt.Errorf("the judge spoke on %d of %d objects", len(verdicts), len(d.topics))
	}
	return verdicts, nil
}

// mustHold pauses the tenant, waits until the connector has caught up,
// and fails the test unless every row arrived, once, in order, as it was.
func (w *worker) mustHold(tb testing.TB, since time.Time) {
	tb.Helper()
	mustHold(tb, since, w)
}

// mustHold is that of several.
func mustHold(tb testing.TB, since time.Time, ws ...*worker) {
	tb.Helper()
	begun := time.Now()
	var dockets []docket
	var topics []string
	for _, w := range ws {
		w.tenant.pause(tb)
		dockets = append(dockets, docket{bootstrap: w.parts.bootstrap, registry: w.parts.registry, control: w.tenant.url, tenant: w.tenant.name,
			poll: w.poll, since: since, topics: w.topics(), fields: w.fields(tb)})
		topics = append(topics, w.topicNames()...)
	}
	adm := ws[0].parts.admin(tb)
	verdicts, err := hold(tb.Context(), dockets, func() error {
		for _, w := range ws {
			w.alive(tb)
		}
		return atRest(tb.Context(), adm, topics, 5*time.Second, 2*time.Minute)
	})
	for _, v := range verdicts {
		tb.Log(v)
	}
	if err != nil {
		tb.Error(err)
	}
	tb.Logf("judged %v after the last change", time.Since(begun).Round(time.Second))
}

// hold judges what rests. What is still missing is given a minute, as a later
// look may yet find it; nothing else is. An error says what is wrong, or why
// there is no verdict. Faults named in E2E_ALLOW are told, and are no error.
func hold(ctx context.Context, dockets []docket, rest func() error) ([]verdict, error) {
	const patience = time.Minute
	for begun := time.Now(); ; {
		if err := rest(); err != nil {
			return nil, err
		}
		verdicts, err := judgeAll(ctx, dockets)
		if err != nil {
			return nil, err
		}
		missing, wrong := weigh(verdicts)
		switch {
		case missing+wrong == 0:
			return verdicts, nil
		case wrong > 0 || time.Since(begun) > patience:
			return verdicts, fmt.Errorf("%d rows are missing or stale, %d other faults", missing, wrong)
		}
	}
}

// weigh counts the faults that E2E_ALLOW does not name: those that waiting may mend, and the others.
func weigh(verdicts []verdict) (missing, wrong int) {
	allowed := strings.Split(os.Getenv("E2E_ALLOW"), ",")
	for _, v := range verdicts {
		for _, c := range v.counts() {
			switch {
			case slices.Contains(allowed, c.name):
			case c.mends():
				missing += c.n
			default:
				wrong += c.n
			}
		}
	}
	return missing, wrong
}

// judgeAll runs a judge for each docket, side by side.
func judgeAll(ctx context.Context, dockets []docket) ([]verdict, error) {
	found := make([][]verdict, len(dockets))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i, d := range dockets {
		g.Go(func() (err error) {
			found[i], err = judge(ctx, d)
			return err
		})
	}
	err := g.Wait()
	return slices.Concat(found...), err
}

// atRest waits until all topics exist and have had the same end offsets for the time of quiet.
func atRest(ctx context.Context, adm *kadm.Client, topics []string, quiet, patience time.Duration) error {
	var last map[string]int64
	var since time.Time
	return await(ctx, "topics at rest", patience, func() error {
		ends, err := endOffsets(ctx, adm, topics)
		if err != nil {
			return err
		}
		if !maps.Equal(ends, last) {
			last, since = ends, time.Now()
		}
		if rest := time.Since(since); rest < quiet {
			return fmt.Errorf("the last record is %v old", rest.Round(time.Millisecond))
		}
		return nil
	})
}

// committed reads a topic to its end, as a read_committed consumer does.
// The last of each partition is to be a marker, which is left out.
func (p *parts) committed(tb testing.TB, topic string) []*kgo.Record {
	tb.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		tb.Fatal(err)
	}
	defer cl.Close()
	ends, err := endOffsets(tb.Context(), kadm.NewClient(cl), []string{topic})
	if err != nil {
		tb.Fatal(err)
	}
	var all []*kgo.Record
	next := map[int32]int64{}
	for read := int64(0); read < ends[topic]; {
		fetches := cl.PollFetches(tb.Context())
		if err := fetches.Err(); err != nil {
			tb.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			read += r.Offset + 1 - next[r.Partition]
			next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
		})
	}
	return all
}

// endOffsets sums the end offsets of each topic's partitions; an error while a topic does not exist.
func endOffsets(ctx context.Context, adm *kadm.Client, topics []string) (map[string]int64, error) {
	listed, err := adm.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	ends := map[string]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Topic] += o.Offset })
	return ends, nil
}
