package checkpoint_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
)

// The owner of a shard opens its file, fences the owner before it, restores, and then puts each commit
// into the transaction that carries the data and applies it when that is committed.
func Example() {
	if err := own(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// position 1 up to 12:00:00, ledger: row 7
}

const topic, partition = "coupastream-checkpoints", 0

func own(ctx context.Context) error {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	if err != nil {
		return err
	}
	defer kafka.Close()
	reach := []kgo.Opt{kgo.SeedBrokers(kafka.ListenAddrs()...)}
	producer, err := kgo.NewClient(append(reach, kgo.TransactionalID("shard-0"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return err
	}
	defer producer.Close()

	identity, err := identityOf(ctx, kadm.NewClient(producer))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := checkpoint.Open(filepath.Join(dir, "shard-0.db"), identity)
	if err != nil {
		return err
	}
	defer store.Close()

	// The first transaction fences; Restore reads up to it.
	if _, err := transaction(ctx, producer, checkpoint.FenceRecord(topic, partition, "a nonce")); err != nil {
		return err
	}
	restore := checkpoint.RestoreConfig{Opts: reach, Topic: topic, Partition: partition, Nonce: "a nonce"}
	if err := checkpoint.Restore(ctx, restore, store); err != nil {
		return err
	}

	// A row was read: its data records, which are left out here, and the commit go in one transaction.
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	stream := checkpoint.Stream{Tenant: "acme", Object: "invoices"}
	commit, err := store.Join(checkpoint.Commit{
		Stream:    stream,
		Position:  checkpoint.Position{Seq: 1, Mark: noon},
		Entries:   []checkpoint.Entry{{ID: 7, At: noon.Unix() - 5, UpdatedAt: noon.Unix() - 5, Digest: 0xC0FFEE}},
		Retention: 7 * 24 * time.Hour,
	})
	if err != nil {
		return err
	}
	records, err := commit.Records(topic, partition)
	if err != nil {
		return err
	}
	next, err := transaction(ctx, producer, records...)
	if err != nil {
		return err
	}
	if err := store.Apply([]checkpoint.Commit{commit}, next); err != nil {
		return err
	}

	positions, err := store.Positions()
	if err != nil {
		return err
	}
	at := positions[stream]
	fmt.Printf("position %d up to %s, ledger:", at.Seq, at.Mark.Format(time.TimeOnly))
	err = store.Range(stream, noon.Add(-time.Hour).Unix(), noon.Unix(), func(e checkpoint.Entry) bool {
		fmt.Printf(" row %d\n", e.ID)
		return true
	})
	return err
}

// identityOf asks whose the partition is: a topic that is made again has another id.
func identityOf(ctx context.Context, admin *kadm.Client) (checkpoint.Identity, error) {
	metadata, err := admin.Metadata(ctx, topic)
	if err != nil {
		return checkpoint.Identity{}, err
	}
	return checkpoint.Identity{ClusterID: metadata.Cluster, TopicID: metadata.Topics[topic].ID, Topic: topic, Partition: partition}, nil
}

// transaction commits the records, and gives the offset behind the last of them.
func transaction(ctx context.Context, producer *kgo.Client, records ...*kgo.Record) (next int64, err error) {
	if err := producer.BeginTransaction(); err != nil {
		return 0, err
	}
	if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return 0, err
	}
	if err := producer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return 0, err
	}
	return records[len(records)-1].Offset + 1, nil
}
