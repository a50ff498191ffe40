//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// nightly skips a scene that can wait for the night.
func nightly(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves it out")
	}
}

// usually is what a scene does in the night, and less of it in short.
func usually[T any](all, short T) T {
	if testing.Short() {
		return short
	}
	return all
}

// TestReal runs scenarios on one broker and one registry, in six lanes: what each does most is wait.
// The judge is tried, too: a verdict of a judge that finds nothing is worth nothing.
func TestReal(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	t.Run("other programs", func(t *testing.T) {
		t.Parallel()
		t.Run("the judge finds each fault", p.judgeFindsFaults)
		t.Run("a part that does not answer or says no ends the worker with one clear message", p.refusals)
		t.Run("clients of Kafka Connect", p.clientsOfConnect)
	})
	t.Run("one worker", func(t *testing.T) {
		t.Parallel()
		t.Run("snapshot, changes, restart and lost state", p.snapshotAndStream)
		t.Run("kill -9", p.kills)
		t.Run("rows are marked as exported, and kill -9", p.exportedMarks)
		t.Run("a checkpoint topic that is lost", p.lostPositions)
		t.Run("a storm of doorbells", p.doorbells)
		t.Run("a transaction that hangs is ended as the runbook says", p.hangingTransactions)
	})
	t.Run("records", func(t *testing.T) {
		t.Parallel()
		t.Run("lines in topics of their own, and kill -9", p.linesInTopics)
		t.Run("the checkpoint topic stays small, and restores", func(t *testing.T) {
			t.Run("a month of commits", p.ledgerOfWeeks)
			t.Run("a worker without its state", p.workerOnSmallTopic)
		})
		t.Run("dead letters are sent again", p.deadLetters)
		t.Run("rows are explained, and are where that says", p.explanations)
		t.Run("every format is read from Python, and the envelope by Debezium", p.formats)
		t.Run("a schema that contradicts the subject is widened", p.widening)
		t.Run("custom fields under each level of compatibility", p.levels)
		t.Run("rows that are too large are cut", p.trimming)
	})
	t.Run("deletes", func(t *testing.T) {
		t.Parallel()
		for name, scene := range map[string]func(*testing.T){
			"a sandbox refresh":                          p.sandboxRefresh,
			"rights withdrawn":                           p.rightsWithdrawn,
			"rows, their lines, and rows in envelopes":   p.deletedRows,
			"kill -9 while sweeps read, confirm, delete": p.sweepKills,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				scene(t)
			})
		}
	})
	t.Run("whatever Coupa answers", func(t *testing.T) {
		t.Parallel()
		t.Run("pages that rows are left out of", p.leftOutRows)
		t.Run("joined lines that count against the limit", p.joinedLines)
		t.Run("a row without an end", p.endlessRow)
		t.Run("a token endpoint that hangs", p.hangingTenant)
		t.Run("nginx before Coupa", p.nginx)
	})
	t.Run("several workers", func(t *testing.T) {
		t.Parallel()
		p.severalWorkers(t)
	})
}

// TestConfigTopic has a broker of its own, which is killed.
func TestConfigTopic(t *testing.T) {
	t.Parallel()
	start(t, "").configTopic(t)
}

// snapshotAndStream reads the history of seven objects, follows
// their changes, stops and starts again, and loses its state.
func (p *parts) snapshotAndStream(t *testing.T) {
	begun := time.Now()
	changes := setting(t, "E2E_CHANGES", usually(time.Minute, 20*time.Second), time.ParseDuration)
	w := p.worker(t, p.tenant(t, "stream", "--rows", rows(t), "--changes-per-second", "10"), map[string]string{"custom.fields.conflict": "widen"})
	w.start()
	phase := func(name string, run func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			w.alive(t)
			w.tenant.resume(t)
			run(t)
			w.mustHold(t, begun)
		})
	}
	phase("a snapshot and changes", func(*testing.T) { elapse(t, changes) })
	phase("a custom field appears, changes its type twice and goes", func(t *testing.T) {
		for _, value := range []string{`{"came-later":7,"a-list":[1]}`, `{"came-later":"seven"}`, `{"came-later":{"id":7},"a-list":2}`, `null`} {
			for _, id := range slices.Sorted(maps.Keys(w.tenant.ids(t, "suppliers")))[:3] {
				w.tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/suppliers/%d/members/custom-fields", id), json.RawMessage(value), nil)
			}
			elapse(t, 8*time.Second) // settle.ms and a poll or two
		}
		if text := w.parts.latest(t, w.tenant.name+".suppliers-value"); !strings.Contains(text, `"coupa.custom":["long","string"]`) {
			t.Errorf("the registry's last version has no field of both types, but %q", regexp.MustCompile(`"coupa.name":"[^"]*","coupa.custom":[^]]*`).FindAllString(text, -1))
		}
	})
	phase("SIGTERM while rows change, and start", func(t *testing.T) {
		elapse(t, 3*time.Second)
		w.stop(t)
		elapse(t, 3*time.Second) // changes that nobody reads until the start
		w.start()
		elapse(t, 5*time.Second)
	})
	phase("the state folder deleted between stop and start", func(t *testing.T) {
		w.stop(t)
		if err := os.RemoveAll(w.state); err != nil {
			t.Fatal(err)
		}
		elapse(t, 2*time.Second)
		w.start()
		elapse(t, 5*time.Second)
	})
	w.stop(t)
}

// kills ends the worker with kill -9 at random moments: thrice while it reads the history, thrice
// while it follows changes. The moments count from its first request for rows, as a worker that
// waits for its token has nothing to lose. It is a static member of its group, which a restart
// replaces at once; for a dynamic one the group would wait a session timeout each time.
func (p *parts) kills(t *testing.T) {
	begun := time.Now()
	random := rand.New(rand.NewPCG(p.seed, 9))
	w := p.worker(t, p.tenant(t, "kill", "--rows", rows(t), "--changes-per-second", "10"), map[string]string{"worker:group.instance.id": "worker-1"})
	adm := p.admin(t)
	w.start()
	for i, most := range []time.Duration{700, 700, 700, 5000, 5000, 5000} {
		w.reads(t)
		moment := time.Duration(random.Int64N(int64(most * time.Millisecond)))
		elapse(t, moment)
		w.alive(t)
		w.kill()
		ends, err := endOffsets(t.Context(), adm, w.topicNames())
		t.Logf("kill -9 number %d, %v after the first request; offsets used %v %v", i+1, moment.Round(time.Millisecond), ends, err)
		w.start()
	}
	w.reads(t)
	elapse(t, 5*time.Second)
	w.mustHold(t, begun)
	w.stop(t)
}

// reads waits until the worker has begun to ask for rows.
func (w *worker) reads(t *testing.T) {
	t.Helper()
	before := w.tenant.mustCount(t)
	err := await(t.Context(), "the first request for rows", time.Minute, func() error {
		w.alive(t)
		if maps.Equal(before, w.tenant.mustCount(t)) {
			return errors.New("none yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// elapse lets the other processes work for d.
func elapse(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

func rows(tb testing.TB) string {
	return fmt.Sprint(setting(tb, "E2E_ROWS", usually(5000, 2000), strconv.Atoi))
}
