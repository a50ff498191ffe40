//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// verdict is the judge's line on one object; judge/Verdict.java says what each count means.
type verdict struct {
	Object      string
	Topic       string
	Rows        int
	Versions    int
	Records     int
	Lost        int
	Repeated    int
	OutOfOrder  int `json:"out_of_order"`
	Mismatched  int
	Misplaced   int
	Mislabelled int
	Undecodable int
	Unseen      int
	Examples    []json.RawMessage
}

// wrong counts what no waiting mends.
func (v verdict) wrong() int {
	return v.Repeated + v.OutOfOrder + v.Mismatched + v.Misplaced + v.Mislabelled + v.Undecodable
}

func (v verdict) String() string {
	s := fmt.Sprintf("%-16s rows %d, versions %d, records %d, lost %d, repeated %d, out of order %d, mismatched %d, misplaced %d, "+
		"mislabelled %d, undecodable %d (unseen %d)", v.Object, v.Rows, v.Versions, v.Records, v.Lost, v.Repeated, v.OutOfOrder,
		v.Mismatched, v.Misplaced, v.Mislabelled, v.Undecodable, v.Unseen)
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
}

// judge runs it. An error says that there was no verdict.
func judge(ctx context.Context, d docket) ([]verdict, error) {
	args := []string{"--bootstrap", d.bootstrap, "--registry", d.registry, "--control", d.control, "--tenant", d.tenant,
		"--poll-ms", strconv.FormatInt(d.poll.Milliseconds(), 10), "--since", d.since.UTC().Format(time.RFC3339)}
	for object, topic := range d.topics {
		args = append(args, object+"="+topic)
	}
	cmd := exec.CommandContext(ctx, "./judge.sh", args...)
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

// mustHold pauses the tenant, waits until the connector has caught up, and fails the test unless every row arrived, once, in
// order, as it was. What is still missing when the topics rest is given time until the deadline, as look-backs may yet find it;
// nothing else is.
func (w *worker) mustHold(tb testing.TB, since time.Time) {
	tb.Helper()
	const patience = 120 * time.Second
	w.tenant.pause(tb)
	begun := time.Now()
	d := docket{w.parts.bootstrap, w.parts.registry, w.tenant.url, w.tenant.name, w.poll, since, w.topics()}
	adm := w.parts.admin(tb)
	for {
		w.alive(tb)
		if err := atRest(tb.Context(), adm, w.topicNames(), 5*time.Second, patience); err != nil {
			tb.Fatal(err)
		}
		verdicts, err := judge(tb.Context(), d)
		if err != nil {
			tb.Fatal(err)
		}
		lost, wrong := 0, 0
		for _, v := range verdicts {
			lost += v.Lost
			wrong += v.wrong()
		}
		if lost > 0 && wrong == 0 && time.Since(begun) < patience {
			continue
		}
		for _, v := range verdicts {
			tb.Log(v)
		}
		if lost+wrong > 0 {
			tb.Errorf("%d rows lost, %d other faults", lost, wrong)
		} else {
			tb.Logf("caught up and judged %v after the last change", time.Since(begun).Round(time.Second))
		}
		return
	}
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
