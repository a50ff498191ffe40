package txn_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/internal/txn"
)

// The client gives nil for the commit of a transaction in which, for all that it knows, nothing was written.
func TestACommitThatIsMadeAnAbortIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &kfake.VirtualNetwork{}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.SeedTopics(1, "t"))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		cl, err := txn.New(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(network.DialContext), kgo.TransactionalID("id"))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		transact := func() (produced, ended error) {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			produced = cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Key: []byte("key")}).FirstErr()
			return produced, cl.EndTransaction(t.Context(), kgo.TryCommit)
		}
		if produced, ended := transact(); produced != nil || ended != nil {
			t.Errorf("%v, %v", produced, ended)
		}
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.TopicAuthorizationFailed, Count: 1})
		if produced, ended := transact(); produced == nil || !errors.Is(ended, txn.ErrAborted) {
			t.Errorf("a record that was refused: %v, and its commit: %v", produced, ended)
		}
		if produced, ended := transact(); produced != nil || ended != nil {
			t.Errorf("the transaction after it: %v, %v", produced, ended)
		}
	})
}
