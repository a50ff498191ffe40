//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestCrash ends, stops and starves workers and the parts around them, at every step and in
// every situation, while rows change, and has a judge compare what a tenant went through with
// what its topics hold. It prints, and writes to E2E_PROOF, what was tried and what was found.
func TestCrash(t *testing.T) {
	n := setting(t, "E2E_INCIDENTS", 60, strconv.Atoi)
	only := setting(t, "E2E_SCENE", 0, strconv.Atoi)
	side := setting(t, "E2E_SCENES_AT_ONCE", 3, strconv.Atoi)
	p := start(t, "failpoints")
	p.topics, p.always = p.admin(t), t.Context()
	if !t.Run("the judge finds each fault", p.judgeFindsFaults) {
		t.Fatal("a judge that does not find what it is shown can't tell anything")
	}
	if !t.Run("the judge finds each anomaly of transactions", p.judgeFindsAnomalies) {
		t.Fatal("nor can one that does not find those")
	}
	tally := newTally(p.brokers)
	play := func(s *scenePlan) {
		if only == 0 || only == s.number {
			t.Run(fmt.Sprintf("scene %d", s.number), func(t *testing.T) { p.play(t, s, tally) })
		}
	}
	own := 0
	if p.rigDir != "" {
		own = p.brokers
	}
	scenes := plan(p.seed, max(n, 20*only), own)
	var g errgroup.Group
	g.SetLimit(max(1, side))
	for _, s := range scenes {
		if !s.class.alone() {
			g.Go(func() error { play(s); return nil })
		}
	}
	_ = g.Wait()
	for _, s := range scenes {
		if s.class.alone() {
			play(s)
		}
	}
	proof := tally.markdown(p)
	t.Logf("\n%s", proof)
	path := cmp.Or(os.Getenv("E2E_PROOF"), filepath.Join(p.dir, "proof.md"))
	if err := os.WriteFile(path, []byte(proof), 0o644); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("E2E_SEED=%d E2E_SCENE=n plays scene n again", p.seed)
	}
}
