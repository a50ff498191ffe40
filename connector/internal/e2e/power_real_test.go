//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPower cuts the power of a worker whose state.dir is on a disk that forgets what was not synced,
// E2E_CUTS (40) times: kill -9, and with it what the disk had not on it. See checkpoint/internal/forgetful.
// Some cuts come at a random moment, and some in the middle of what is written next.
func TestPower(t *testing.T) {
	power := os.Getenv("POWER")
	if power == "" {
		t.Skip("make power runs it, on a disk that forgets, which needs Linux, root and /dev/fuse")
	}
	begun, p := time.Now(), start(t, "")
	random := rand.New(rand.NewPCG(p.seed, 10))
	disk := filepath.Join(power, "disk", "worker")
	w := p.worker(t, p.tenant(t, "power", "--objects", "invoices,users", "--rows", "1000", "--changes-per-second", "20"), map[string]string{
		"coupa.objects": "invoices,users", "poll.interval.ms": "300", "settle.ms": "300",
		"worker:group.instance.id": "worker-1", "worker:state.dir": disk,
	})
	tell := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(power, "power"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	forgot := func() (changes int, err error) { // at the cut
		text, err := os.ReadFile(filepath.Join(power, "power"))
		if n, _ := fmt.Sscanf(string(text), "off %d %d", new(int), &changes); n != 2 && err == nil {
			err = errors.New("the power is on")
		}
		return changes, err
	}
	w.poll = 300 * time.Millisecond
	unsynced, without := 0, 0
	cuts := setting(t, "E2E_CUTS", 40, strconv.Atoi)
	for range cuts {
		w.start()
		if random.IntN(4) > 0 { // else while it starts and restores
			w.reads(t)
		}
		elapse(t, time.Duration(random.Int64N(int64(2*time.Second))))
		w.alive(t)
		tell(fmt.Sprintf("cut %d %d", 1+random.IntN(60), random.Uint32()))
		if err := await(t.Context(), "the cut", 2*time.Second, func() error { _, err := forgot(); return err }); err != nil {
			tell(fmt.Sprintf("cut 0 %d", random.Uint32())) // too little is written
		}
		w.kill()
		changes, err := forgot()
		if err != nil {
			t.Fatal(err)
		}
		unsynced += changes
		tell("on")
		if stores, _ := filepath.Glob(filepath.Join(disk, "*", "shard-*.db")); len(stores) == 0 {
			without++
		}
		wantWhole(t, disk)
	}
	w.start()
	w.reads(t)
	elapse(t, 5*time.Second)
	w.mustHold(t, begun)
	w.stop(t)
	log, err := os.ReadFile(w.stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cuts, at which %d changes were not synced; %d left no local store; %d stores did not fit and were restored",
		cuts, unsynced, without, strings.Count(string(log), "the local state did not fit"))
}

// wantWhole wants the files that are replaced as a whole to be so.
func wantWhole(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && !json.Valid(text) {
			t.Errorf("a cut has left %s with %q", path, text)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
