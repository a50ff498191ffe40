//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// hangingTransactions plays what the runbook says of transactions that hang: the commands are
// those that stand there. Both ways to end one leave each row once in its topic; abort does not.
func (p *parts) hangingTransactions(t *testing.T) {
	nightly(t)
	t.Run("abort takes records of a transaction that is then committed", p.abortUnderALiveOwner)
	begun := time.Now()
	tenant := p.tenant(t, "hanging", "--objects", "invoices,purchase_orders,suppliers", "--rows", "5000", "--changes-per-second", "40")
	w := p.worker(t, tenant, map[string]string{
		"coupa.objects": "invoices,purchase_orders,suppliers", "poll.interval.ms": "200", "worker:checkpoint.topic.partitions": "1",
	})
	steps, adm := p.runbook(t, tenant.name+"-0"), p.admin(t)
	w.start()
	w.reads(t)
	t.Run("it is ended at its coordinator", func(t *testing.T) {
		hung := w.hangs(t, adm)
		if listed, said := p.transactions(t, steps["list"]), p.transactions(t, steps["describe"]); !ongoing(listed, tenant.name+"-0") || !ongoing(said, tenant.name+"-0") {
			t.Errorf("list and describe don't show the transaction:\n%s\n%s", listed, said)
		}
		if said := p.transactions(t, steps["forceTerminateTransaction"]); said != "" {
			t.Errorf("it says %q", said)
		}
		if said := p.transactions(t, steps["describe"]); ongoing(said, tenant.name+"-0") {
			t.Errorf("the transaction is open still: %s", said)
		}
		if now, err := w.transaction(t, adm); err != nil || now.ProducerID == hung.ProducerID && now.ProducerEpoch == hung.ProducerEpoch {
			t.Errorf("its owner is not fenced: %+v (%v), before it %+v", now, err, hung)
		}
		w.signal(syscall.SIGCONT)
		w.says(t, "the shard was fenced")
		w.mustHold(t, begun)
	})
	tenant.resume(t)
	t.Run("its worker is ended", func(t *testing.T) {
		hung := w.hangs(t, adm)
		w.kill()
		w.start()
		if err := await(t.Context(), "the successor to end it", 30*time.Second, func() error {
			w.alive(t)
			now, err := w.transaction(t, adm)
			if err == nil && now.ProducerID == hung.ProducerID && now.ProducerEpoch == hung.ProducerEpoch {
				err = fmt.Errorf("it is %s still", now.State)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		w.mustHold(t, begun)
	})
	w.stop(t)
}

// hangs stops the worker while a transaction of its first shard is open.
func (w *worker) hangs(t *testing.T, adm *kadm.Client) kadm.DescribedTransaction {
	t.Helper()
	var hung kadm.DescribedTransaction
	err := await(t.Context(), "a transaction that is open", 2*time.Minute, func() (err error) {
		w.alive(t)
		if _, err = w.transaction(t, adm); err != nil { // on a busy machine it may not have begun
			return err
		}
		w.signal(syscall.SIGSTOP)
		for range 2 { // what was sent before it stopped is carried out yet
			if hung, err = w.transaction(t, adm); err == nil && hung.State != "Ongoing" {
				err = fmt.Errorf("it is %s", hung.State)
			}
			if err != nil {
				w.signal(syscall.SIGCONT)
				return err
			}
			elapse(t, 300*time.Millisecond)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hung
}

// transaction is that of the worker's first shard, as its coordinator has it.
func (w *worker) transaction(t *testing.T, adm *kadm.Client) (kadm.DescribedTransaction, error) {
	all, err := adm.DescribeTransactions(t.Context(), w.tenant.name+"-0")
	one := all[w.tenant.name+"-0"]
	return one, errors.Join(err, one.Err)
}

// abortUnderALiveOwner shows what the runbook warns of: the owner's commit succeeds, and its record is gone.
func (p *parts) abortUnderALiveOwner(t *testing.T) {
	id := "aborted-" + p.run
	adm := p.admin(t)
	if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, id); err != nil {
		t.Fatal(err)
	}
	owner, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.TransactionalID(id))
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	transact := func(value string, meanwhile func(offset int64)) {
		t.Helper()
		if err := owner.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: id, Value: []byte(value)}
		if err := owner.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		meanwhile(r.Offset)
		if err := owner.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatalf("the commit of %s: %v", value, err)
		}
	}
	transact("kept", func(int64) {})
	transact("lost", func(offset int64) {
		p.transactions(t, []string{"--bootstrap-server", p.bootstrap, "abort", "--topic", id, "--partition", "0", "--start-offset", fmt.Sprint(offset)})
	})
	transact("last", func(int64) {})
	var got []string
	for _, r := range p.committed(t, id) {
		got = append(got, string(r.Value))
	}
	if all := strings.Join(got, " "); all != "kept last" {
		t.Errorf("readers get %q; all three commits succeeded, and abort took the second", all)
	}
}

// runbook is what the runbook says to do, by verb, for a transactional id.
func (p *parts) runbook(t *testing.T, id string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## CoupastreamHoldsReadersBack\n")
	section, _, _ = strings.Cut(section, "\n## ")
	steps := map[string][]string{}
	for _, line := range regexp.MustCompile(`(?m)^ +kafka-transactions\.sh (.*)$`).FindAllStringSubmatch(section, -1) {
		args := strings.Fields(strings.NewReplacer("BROKER", p.bootstrap, "GROUP.ID-N", id).Replace(line[1]))
		steps[args[2]] = args
	}
	if len(steps) != 3 || steps["list"] == nil || steps["describe"] == nil || steps["forceTerminateTransaction"] == nil {
		t.Fatalf("the runbook says %v", steps)
	}
	return steps
}

// transactions is kafka-transactions.sh.
func (p *parts) transactions(t *testing.T, args []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./kafka.sh", append([]string{"transactions"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kafka-transactions.sh %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// ongoing tells whether a table of the tool has a transaction that is open.
func ongoing(table, id string) bool {
	for line := range strings.Lines(table) {
		if strings.Contains(line, id) && strings.Contains(line, "Ongoing") {
			return true
		}
	}
	return false
}
