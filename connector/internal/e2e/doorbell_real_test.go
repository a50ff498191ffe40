//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const hookPassword = "an e2e doorbell"

// accounts writes an accounts file with the user coupa of the role hook, and the user ops of the role admin.
func (p *parts) accounts(tb testing.TB, path string) string {
	tb.Helper()
	var file []byte
	for name, role := range map[string]string{"coupa": "hook", "ops": "admin"} {
		cmd := exec.Command(p.binary, "hash-password", name, "--role", role)
		cmd.Stdin = strings.NewReader(hookPassword + "\n")
		text, err := cmd.Output()
		if err != nil {
			tb.Fatal(err)
		}
		if len(file) > 0 {
			text = bytes.TrimPrefix(text, []byte("users:\n"))
		}
		file = append(file, text...)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// bell rings at workers, as Coupa's call outs do.
type bell struct {
	*http.Client
	token string
}

// newBell gets a token of a worker, once it answers.
func newBell(tb testing.TB, worker string) *bell {
	tb.Helper()
	b := toneless(tb)
	if err := await(tb.Context(), "a token", time.Minute, func() error { return b.login(worker) }); err != nil {
		tb.Fatal(err)
	}
	return b
}

// toneless is a bell without a token yet.
func toneless(tb testing.TB) *bell {
	b := &bell{Client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	tb.Cleanup(b.CloseIdleConnections)
	return b
}

// login gets a token of a worker.
func (b *bell) login(worker string) error {
	r, err := http.NewRequest(http.MethodPost, worker+"/hooks/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
	if err != nil {
		return err
	}
	r.SetBasicAuth("coupa", hookPassword)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := b.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&granted); err != nil || granted.Token == "" {
		return fmt.Errorf("no token: status %d, %v", answer.StatusCode, err)
	}
	b.token = granted.Token
	return nil
}

// ring rings and gives the status; 0: the worker did not answer.
func (b *bell) ring(worker, connector, object, token string) int {
	r, err := http.NewRequest(http.MethodPost, worker+"/hooks/"+connector+"/"+object, bytes.NewReader([]byte(`{"invoice-header":{"id":1}}`)))
	if err != nil {
		return 0
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := b.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// checkRings looks at how many rings were answered with which status.
func checkRings(tb testing.TB, statuses map[int]int) {
	tb.Helper()
	for status := range maps.Keys(statuses) {
		// 0: it was killed; 429: many were forged; 503: too many at one time, or it is starting
		if !slices.Contains([]int{0, 202, 401, 404, 429, 503}, status) {
			tb.Errorf("%d rings are answered with %d", statuses[status], status)
		}
	}
}

// doorbells rings at two workers without a pause, forged ones among them, while rows change and the one that
// runs the connector is killed and comes back.
func (p *parts) doorbells(t *testing.T) {
	nightly(t)
	begun := time.Now()
	tenant := p.tenant(t, "doorbells", "--objects", "invoices,suppliers", "--rows", "300", "--changes-per-second", "10", "--latency", "20ms")
	keys := map[string]string{"coupa.objects": "invoices,suppliers", "poll.interval.ms": "10000", "worker:hooks.enabled": "true",
		"worker:rest.auth.file": p.accounts(t, p.dir+"/doorbells-accounts.yaml")}
	one := p.worker(t, tenant, keys)
	one.poll = 10 * time.Second
	other := *one
	other.listener, other.worker, other.logs = fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), one.worker+"-2.json", one.logs+"-2"
	text, err := os.ReadFile(one.worker)
	if err == nil {
		err = os.WriteFile(other.worker, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	other.set(t, "listeners", other.listener)
	other.set(t, "state.dir", one.state+"-2")
	one.start()
	other.start()
	b := newBell(t, other.listener)
	newBell(t, one.listener)
	one.reads(t)

	ctx, stop := context.WithCancel(t.Context())
	var storm sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	var rings atomic.Int64
	for i := range 4 {
		storm.Go(func() {
			random := rand.New(rand.NewPCG(p.seed, uint64(i)))
			for ctx.Err() == nil {
				at, object, token := []string{one.listener, other.listener}[random.IntN(2)], []string{"invoices", "suppliers"}[random.IntN(2)], b.token
				switch random.IntN(50) {
				case 0:
					token = "forged"
				case 1:
					object = "widgets"
				}
				status := b.ring(at, tenant.name, object, token)
				rings.Add(1)
				mu.Lock()
				statuses[status]++
				mu.Unlock()
			}
		})
	}
	for _, w := range []*worker{one, &other} {
		elapse(t, 5*time.Second)
		w.kill()
		elapse(t, 2*time.Second)
		w.start()
		elapse(t, 5*time.Second)
	}
	stop()
	storm.Wait()
	t.Logf("%d rings, by status %v", rings.Load(), statuses)
	checkRings(t, statuses)
	if statuses[202] < 1000 {
		t.Errorf("%d rings are heard", statuses[202])
	}
	for _, w := range []*worker{one, &other} {
		log, err := os.ReadFile(w.logs + ".err")
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(log, []byte("\n")); n > 300 {
			t.Errorf("the log of a worker has %d lines", n)
		}
	}
	mustHold(t, begun, one)
	one.stop(t)
	other.signal(syscall.SIGTERM)
}

// benchmarkDoorbell measures the time from a doorbell until a consumer of committed records has the row,
// whose change Coupa shows when it rings. Coupa takes 80 ms for an answer; nothing is polled in its turn.
func (p *parts) benchmarkDoorbell(b *testing.B) {
	const rings = 60
	for i := range b.N {
		t := p.tenant(b, fmt.Sprint("doorbell", i), "--objects", "invoices", "--rows", "300", "--changes-per-second", "0", "--latency", "80ms")
		w := p.worker(b, t, map[string]string{"coupa.objects": "invoices", "coupa.rate.limit": "auto", "poll.interval.ms": "3600000",
			"worker:hooks.enabled": "true", "worker:rest.auth.file": p.accounts(b, p.dir+"/doorbell-accounts.yaml")})
		w.start()
		bell := newBell(b, w.listener)
		if err := atRest(b.Context(), p.admin(b), w.topicNames(), 5*time.Second, time.Minute); err != nil {
			b.Fatal(err)
		}
		cl, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.ConsumeTopics(w.topicNames()...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchMaxWait(500*time.Millisecond))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(cl.Close)
		warm, cancel := context.WithTimeout(b.Context(), 3*time.Second)
		cl.PollFetches(warm) // it has found where the topic ends
		cancel()
		random := rand.New(rand.NewPCG(p.seed, 3))
		var took []time.Duration
		for n, id := range slices.Sorted(maps.Keys(t.ids(b, "invoices")))[:rings] {
			<-time.After(2*time.Second + time.Duration(random.IntN(2000))*time.Millisecond)
			t.must(b, http.MethodPost, fmt.Sprintf("/_tenant/objects/invoices/%d", id), nil, nil)
			begun := time.Now()
			if status := bell.ring(w.listener, t.name, "invoices", bell.token); status != http.StatusAccepted {
				b.Fatalf("status %d", status)
			}
			ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
			for found := false; !found; {
				fetches := cl.PollFetches(ctx)
				if err := fetches.Err(); err != nil {
					b.Fatalf("ring %d: %v", n, err)
				}
				fetches.EachRecord(func(r *kgo.Record) {
					found = found || idOf(r.Key) == id && !r.Timestamp.Before(begun.Truncate(time.Millisecond))
				})
			}
			cancel()
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[rings/2].Milliseconds()), "p50-ms")
		b.ReportMetric(float64(took[rings*99/100].Milliseconds()), "p99-ms")
		w.stop(b)
	}
}
