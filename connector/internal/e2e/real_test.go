//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestReal runs every scenario on one broker and one registry. The judge is tried first: a verdict of a judge that finds
// nothing is worth nothing.
func TestReal(t *testing.T) {
	p := start(t)
	t.Run("the judge finds each fault", p.judgeFindsFaults)
	t.Run("a part that does not answer or says no ends the worker with one clear message", p.refusals)
	t.Run("snapshot, changes, restart and lost state", p.snapshotAndStream)
	t.Run("kill -9", p.kills)
}

// snapshotAndStream reads the history of seven objects, follows their changes, stops and starts again, and loses its state.
func (p *parts) snapshotAndStream(t *testing.T) {
	begun := time.Now()
	changes := setting(t, "E2E_CHANGES", time.Minute, time.ParseDuration)
	w := p.worker(t, p.tenant(t, "stream", "--rows", rows(t), "--changes-per-second", "10"), nil)
	w.start(t)
	phase := func(name string, run func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			w.alive(t)
			w.tenant.resume(t)
			run(t)
			w.mustHold(t, begun)
		})
	}
	phase("a snapshot and a minute of changes", func(*testing.T) { elapse(t, changes) })
	phase("SIGTERM while rows change, and start", func(t *testing.T) {
		elapse(t, 3*time.Second)
		w.stop(t)
		elapse(t, 3*time.Second) // changes that nobody reads until the start
		w.start(t)
		elapse(t, 5*time.Second)
	})
	phase("the state folder deleted between stop and start", func(t *testing.T) {
		w.stop(t)
		if err := os.RemoveAll(w.state); err != nil {
			t.Fatal(err)
		}
		elapse(t, 2*time.Second)
		w.start(t)
		elapse(t, 5*time.Second)
	})
	w.stop(t)
}

// kills ends the worker with kill -9 at random moments: thrice while it reads the history, thrice while it follows changes.
func (p *parts) kills(t *testing.T) {
	begun := time.Now()
	random := rand.New(rand.NewPCG(p.seed, 9))
	w := p.worker(t, p.tenant(t, "kill", "--rows", rows(t), "--changes-per-second", "10"), nil)
	w.start(t)
	for i, most := range []time.Duration{2 * time.Second, 2 * time.Second, 3 * time.Second, 6 * time.Second, 6 * time.Second, 6 * time.Second} {
		moment := 200*time.Millisecond + time.Duration(random.Int64N(int64(most)))
		elapse(t, moment)
		w.alive(t)
		w.kill()
		t.Logf("kill -9 number %d, %v after the start", i+1, moment.Round(time.Millisecond))
		w.start(t)
	}
	elapse(t, 5*time.Second)
	w.mustHold(t, begun)
	w.stop(t)
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
	return fmt.Sprint(setting(tb, "E2E_ROWS", 5000, strconv.Atoi))
}
