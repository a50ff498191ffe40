package txn_test

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/internal/txn"
)

// Kafka tells of a commit whose marker it never writes, and lets the next fence pass without one.
func TestATransactionThatKafkaLeftOpenIsEnded(t *testing.T) {
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		synctest.Test(t, func(t *testing.T) {
			network := &kfake.VirtualNetwork{}
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.SeedTopics(2, "t"))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			client := func() *txn.Client {
				cl, err := txn.New(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(network.DialContext), kgo.TransactionalID("id"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(cl.Close)
				return cl
			}
			state := map[kgo.TransactionEndTry]string{kgo.TryCommit: "CompleteCommit", kgo.TryAbort: "CompleteAbort"}[end]
			var ended *kmsg.EndTxnRequest
			cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
				if ended != nil {
					if v := req.GetVersion(); v > 4 {
						t.Errorf("EndTxn %d, which brokers refuse whose transaction.version is below 2", v)
					}
					return nil, nil, false
				}
				cluster.KeepControl()
				ended = req.(*kmsg.EndTxnRequest)
				return req.ResponseKind(), nil, true
			})
			cluster.ControlKey(int16(kmsg.DescribeTransactions), func(req kmsg.Request) (kmsg.Response, error, bool) {
				if ended == nil {
					return nil, nil, false
				}
				resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
				resp.TransactionStates = append(resp.TransactionStates, kmsg.DescribeTransactionsResponseTransactionState{
					TransactionalID: "id", State: state, ProducerID: ended.ProducerID, ProducerEpoch: ended.ProducerEpoch - 1,
				})
				return resp, nil, true
			})
			cluster.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
				if ended == nil {
					return nil, nil, false
				}
				resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
				resp.ProducerID, resp.ProducerEpoch = ended.ProducerID, ended.ProducerEpoch
				return resp, nil, true
			})

			first, r := client(), &kgo.Record{Topic: "t", Key: []byte("key")}
			if err := first.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(first.ProduceSync(t.Context(), r).FirstErr(), first.EndTransaction(t.Context(), kgo.TryCommit)); err != nil {
				t.Fatal(err)
			}
			// fence gives what is open behind a fence of cl, and how the transaction before ended.
			fence := func(cl *txn.Client) (before txn.Outcome, open bool) {
				outcome, err := cl.Fence(t.Context(), "id")
				if err != nil {
					t.Fatal(err)
				}
				ends := txn.NewEnds(cl, "id", slog.New(slog.DiscardHandler), nil)
				defer ends.Close()
				held, _, err := ends.Meet(t.Context(), slices.Values([]string{"t"}), nil)
				if err != nil {
					t.Fatal(err)
				}
				for p := range int32(2) {
					unstable, err := txn.OpenIn(t.Context(), cl.Client, "t", p)
					if err != nil {
						t.Fatal(err)
					}
					if got, want := slices.Contains(held, txn.Partition{Topic: "t", Partition: p}), unstable.Lookup("t", p); got != want || want && p != r.Partition {
						t.Errorf("partition %d of a record in %d: held %v, unstable %v", p, r.Partition, got, want)
					}
				}
				left := map[txn.Partition]txn.Outcome{{Topic: "t", Partition: r.Partition}: outcome}
				if err := cl.SettleAs(t.Context(), "id", held, left); len(held) == 0 && err != nil || len(held) > 0 && !errors.Is(err, txn.ErrLeftOpen) {
					t.Errorf("held %v, and settled: %v", held, err)
				}
				return outcome, len(held) > 0
			}
			want := map[kgo.TransactionEndTry]txn.Outcome{kgo.TryCommit: txn.Committed, kgo.TryAbort: txn.Aborted}[end]
			if before, open := fence(client()); before != want || !open {
				t.Errorf("after what was left open: outcome %v, open %v", before, open)
			}
			// kfake tells of no transaction how it ended
			if before, open := fence(client()); before != txn.Unknown || open {
				t.Errorf("after what was settled: outcome %v, open %v", before, open)
			}
			reader, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(network.DialContext), kgo.ConsumeTopics("t"),
				kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			shown := false
			for marker := false; !marker; {
				reader.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
					marker, shown = marker || r.Attrs.IsControl(), shown || !r.Attrs.IsControl()
				})
			}
			if shown != bool(end) {
				t.Errorf("shown: %v, settled with a commit: %v", shown, end)
			}
		})
	}
}
