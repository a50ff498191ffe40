//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// leftOutRows reads pages that are short although more follows: seventy rows in a row are left out of every
// answer, and others of one. What is behind them must come; they must come when they are shown again and
// change, though then some are left out of the first answer once more.
func (p *parts) leftOutRows(t *testing.T) {
	begun := time.Now()
	tenant := p.tenant(t, "leftout", "--objects", "suppliers,invoices", "--rows", "300", "--changes-per-second", "0")
	w := p.worker(t, tenant, map[string]string{"coupa.objects": "suppliers,invoices"})
	hidden, history := map[string][]int64{}, map[string]map[int64]bool{}
	for object, topic := range w.topics() {
		ids := tenant.ids(t, object)
		for n, id := range slices.Sorted(maps.Keys(ids)) {
			switch {
			case n >= 100 && n < 170:
				tenant.leaveOut(t, object, id, -1)
			case n%9 == 4:
				tenant.leaveOut(t, object, id, 1)
			default:
				continue
			}
			hidden[object] = append(hidden[object], id)
			delete(ids, id)
		}
		history[topic] = ids
	}
	w.start()
	w.comes(t, newWatch(t, p, history))
	for object, ids := range hidden {
		for n, id := range ids {
			tenant.leaveOut(t, object, id, n%3/2)
			tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/%s/%d", object, id), nil, nil)
		}
	}
	w.mustHold(t, begun)
	w.stop(t)
}

// leaveOut lets a row be missing from so many answers, -1: from all, 0: from none.
func (t *tenant) leaveOut(tb testing.TB, object string, id int64, times int) {
	tb.Helper()
	t.must(tb, http.MethodPost, fmt.Sprintf("/_tenant/objects/%s/%d/left-out?times=%d", object, id, times), nil, nil)
}

// comes waits until all rows of the history have come.
func (w *worker) comes(t *testing.T, arrived *watch) {
	t.Helper()
	err := await(t.Context(), "the history", time.Minute, func() error {
		w.alive(t)
		if n := arrived.missing(); n > 0 {
			return fmt.Errorf("%d rows have not come", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// joinedLines changes hundreds of lines at once, and nothing else of their rows, where a condition on
// lines counts each that fits against the limit: pages have some twenty rows, and more follows.
func (p *parts) joinedLines(t *testing.T) {
	begun := time.Now()
	tenant := p.tenantOf(t, p.dir, "joined", coupatest.Config{Objects: []string{"purchase_orders"}, Rows: 200, CollapseParents: true})
	w := p.worker(t, tenant, map[string]string{"coupa.objects": "purchase_orders"})
	ids := tenant.ids(t, "purchase_orders")
	w.start()
	w.comes(t, newWatch(t, p, map[string]map[int64]bool{w.topics()["purchase_orders"]: maps.Clone(ids)}))
	for range 3 {
		for id := range ids {
			tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/purchase_orders/%d?line=1", id), nil, nil)
		}
	}
	w.mustHold(t, begun)
	w.stop(t)
}

// endlessRow has a tenant send rows without an end, of one object. Its other object and another
// tenant of the same worker go on; when all is well again, a restart brings what was held up.
func (p *parts) endlessRow(t *testing.T) {
	begun := time.Now()
	flags := []string{"--objects", "suppliers,invoices", "--rows", "200", "--changes-per-second", "5"}
	hostile := p.worker(t, p.tenant(t, "endless", flags...), map[string]string{"coupa.objects": "suppliers,invoices", "row.max.bytes": "4194304"})
	good := p.worker(t, p.tenant(t, "endless-good", flags...), map[string]string{"coupa.objects": "suppliers,invoices"})
	hostile.beside = []*worker{good}
	hostile.tenant.answer(t, coupatest.Fault{Kind: coupatest.EndlessRow, Object: "suppliers", Count: -1})
	hostile.start()
	err := await(t.Context(), "the object to fail", 30*time.Second, func() error {
		hostile.alive(t)
		return hostile.fails("4194304 bytes of row.max.bytes")
	})
	if err != nil {
		t.Error(err)
	}
	history := map[string]map[int64]bool{hostile.topics()["invoices"]: hostile.tenant.ids(t, "invoices")}
	for object, topic := range good.topics() { // all that there is by now
		history[topic] = good.tenant.ids(t, object)
	}
	hostile.comes(t, newWatch(t, p, history))
	if err := hostile.fails("row.max.bytes"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	hostile.tenant.answerWell(t)
	hostile.restart(t)
	mustHold(t, begun, hostile, good)
	hostile.stop(t)
}

// fails is nil if one object of the connector alone has failed for a reason; else it says how they are.
func (w *worker) fails(reason string) error {
	tasks, err := tasksOf(w.listener, w.tenant.name)
	if err == nil && len(failed(tasks, reason)) != 1 {
		err = fmt.Errorf("they are %+v", tasks)
	}
	return err
}

// task is an object of a connector, as a worker tells.
type task struct{ State, Trace string }

// failed are those that failed for a reason.
func failed(tasks []task, reason string) []task {
	return slices.DeleteFunc(slices.Clone(tasks), func(t task) bool { return t.State != "FAILED" || !strings.Contains(t.Trace, reason) })
}

// tasksOf asks a worker for the objects of a connector.
func tasksOf(worker, connector string) ([]task, error) {
	resp, err := http.Get(worker + "/connectors/" + connector + "/status")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var status struct{ Tasks []task }
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || len(status.Tasks) == 0 {
		return nil, fmt.Errorf("%s: %s: %w", connector, resp.Status, cmp.Or(err, errors.New("no tasks")))
	}
	return status.Tasks, nil
}

// restart starts the failed objects of the connector again.
func (w *worker) restart(tb testing.TB) {
	tb.Helper()
	resp, err := http.Post(w.listener+"/connectors/"+w.tenant.name+"/restart?includeTasks=true&onlyFailed=true", "", nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		tb.Fatalf("the restart answered %s", resp.Status)
	}
}

// hangingTenant has the token endpoint of one tenant hang when the worker starts. All of
// another one's history comes meanwhile; when the endpoint is well again, both are complete.
func (p *parts) hangingTenant(t *testing.T) {
	begun := time.Now()
	flags := []string{"--objects", "suppliers,users", "--rows", "200", "--changes-per-second", "5"}
	hanging := p.worker(t, p.tenant(t, "hanging", flags...), map[string]string{"coupa.objects": "suppliers,users", "coupa.request.timeout.ms": "5000"})
	good := p.worker(t, p.tenant(t, "hanging-good", flags...), map[string]string{"coupa.objects": "suppliers,users"})
	history := map[string]map[int64]bool{}
	for object, topic := range good.topics() {
		history[topic] = good.tenant.ids(t, object)
	}
	hanging.beside = []*worker{good}
	hanging.tenant.answer(t, coupatest.Fault{Kind: coupatest.Hang, Object: coupatest.TokenRequests, Count: -1})
	started := time.Now()
	hanging.start()
	good.comes(t, newWatch(t, p, history))
	t.Logf("the good tenant's history came within %v of the start", time.Since(started).Round(time.Millisecond))
	if requests := hanging.tenant.mustCount(t); requests["suppliers"]+requests["users"] > 0 {
		t.Errorf("the token endpoint does not hang: %v", requests)
	}
	hanging.tenant.answerWell(t)
	mustHold(t, begun, hanging, good)
	hanging.stop(t)
}
