//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// TestQuota has a broker of its own, whose quota holds back all workers: a full transaction takes longer
// than it may last. They shrink, the history advances, and its connector's health says what it is.
func TestQuota(t *testing.T) {
	t.Parallel()
	nightly(t)
	if os.Getenv("E2E_BOOTSTRAP") != "" {
		t.Skip("the quota would hold back whoever else uses the broker")
	}
	p := start(t, "")
	admin, begun := p.admin(t), time.Now()
	setQuota(t, admin, kadm.AlterClientQuotaOp{Key: "producer_byte_rate", Value: 3000})
	tenant := p.tenant(t, "quota", "--objects", "suppliers", "--rows", "4000", "--row-bytes", "3000", "--changes-per-second", "0")
	w := p.worker(t, tenant, map[string]string{"coupa.objects": "suppliers"})
	w.start()
	if err := await(t.Context(), "the word that Kafka throttles", 5*time.Minute, w.throttled); err != nil {
		t.Error(err)
	}
	err := await(t.Context(), "a history that advances", 15*time.Minute, func() error {
		w.alive(t)
		text, err := os.ReadFile(w.stderr)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), "smaller ones follow") {
			return errors.New("no transaction has shrunk")
		}
		if n := len(p.committed(t, tenant.name+".suppliers")); n < 1200 {
			return fmt.Errorf("%d of 4000 rows are published", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	setQuota(t, admin, kadm.AlterClientQuotaOp{Key: "producer_byte_rate", Remove: true})
	w.mustHold(t, begun)
}

func setQuota(t *testing.T, admin *kadm.Client, op kadm.AlterClientQuotaOp) {
	t.Helper()
	id := "coupastream"
	entity := kadm.ClientQuotaEntity{{Type: "client-id", Name: &id}}
	altered, err := admin.AlterClientQuotas(t.Context(), []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{op}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range altered {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
}

// throttled is nil once the worker's health says that Kafka throttles.
func (w *worker) throttled() error {
	resp, err := http.Get(w.listener + "/connectors/" + w.tenant.name + "/health")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var health struct {
		Tasks []struct{ Condition, Trace string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		return err
	}
	for _, task := range health.Tasks {
		if task.Condition == "THROTTLED" && strings.Contains(task.Trace, "Kafka throttles") {
			return nil
		}
	}
	return fmt.Errorf("%+v", health.Tasks)
}
