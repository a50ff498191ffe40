package connector

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// The client gives nil for the commit of a transaction in which, for all that it knows, nothing was written.
func TestACommitThatTheClientMakesAnAbortIsNoCommit(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 120, Rows: 5}, func(h *harness) {
		h.start()
		h.settle()
		cl, err := h.running.newProducer("another")
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		record := func() *kgo.Record { return &kgo.Record{Topic: "coupa.invoices", Key: []byte("key")} }
		transact := func() (produced, ended error) {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			produced = cl.ProduceSync(h.t.Context(), record()).FirstErr()
			return produced, cl.EndTransaction(h.t.Context(), kgo.TryCommit)
		}
		if produced, ended := transact(); produced != nil || ended != nil {
			t.Errorf("%v, %v", produced, ended)
		}
		h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "coupa.invoices", Err: kerr.TopicAuthorizationFailed, Count: 1})
		if produced, ended := transact(); produced == nil || !errors.Is(ended, errNoCommit) {
			t.Errorf("a record that was refused: %v, and its commit: %v", produced, ended)
		}
		if produced, ended := transact(); produced != nil || ended != nil {
			t.Errorf("the transaction after it: %v, %v", produced, ended)
		}
	})
}
