#!/bin/sh
# A read_committed consumer is given records of transactions that were aborted.
#
# What one expects: a consumer with isolation level READ_COMMITTED, which is this client's default, gives
# what was committed and nothing else; that is all that the level is for.
#
# What happens: @platformatic/kafka 2.12.1 (Node 24.21.0) keeps one range of offsets for each producer and
# fetch answer. An answer names every aborted transaction in it; where several are of one producer, only the
# last is left out, and the application gets the records of the others like any. A reader of the newest
# records seldom meets this; one that reads a topic from its start, in big answers, does.
#
# Seen (one producer, six transactions of five records, every other one aborted; franz-go v1.22.3 with
# ReadCommitted reads the same topic):
#
#   franz-go: 15 committed, 0 aborted
#   @platformatic/kafka 2.12.1, node v24.21.0
#   @platformatic/kafka: 15 committed, 10 aborted
#
# What to do instead: read topics that are written in transactions with another client; of Node's, kafkajs
# 2.2.4 gives the 15 alone.
#
# Needs: go, npm. The broker is kfake, of franz-go (v0.0.0-20260918054303-01f206a7e32c).
# Exits 1 if the behaviour is another one.
set -eu
folder=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker"; rm -rf "$folder"' EXIT
cd "$folder"

cat >main.go <<'GO'
// Broker writes six transactions to a topic, every other one aborted, reads them with franz-go, and prints
// its address to standard output.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "topic"))
	check(err)
	brokers := kgo.SeedBrokers(cluster.ListenAddrs()...)
	ctx := context.Background()

	producer, err := kgo.NewClient(brokers, kgo.DefaultProduceTopic("topic"), kgo.TransactionalID("writer"),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	check(err)
	for range 3 {
		write(ctx, producer, "aborted", kgo.TryAbort)
		write(ctx, producer, "committed", kgo.TryCommit)
	}

	consumer, err := kgo.NewClient(brokers, kgo.ConsumeTopics("topic"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	check(err)
	read := map[string]int{}
	for read["committed"] < 15 {
		consumer.PollFetches(ctx).EachRecord(func(record *kgo.Record) { read[string(record.Value)]++ })
	}
	fmt.Fprintf(os.Stderr, "franz-go: %d committed, %d aborted\n", read["committed"], read["aborted"])
	fmt.Println(cluster.ListenAddrs()[0])
	select {}
}

func write(ctx context.Context, producer *kgo.Client, value string, end kgo.TransactionEndTry) {
	check(producer.BeginTransaction())
	for range 5 {
		check(producer.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr())
	}
	check(producer.EndTransaction(ctx, end))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
cat >read.mjs <<'JS'
import { readFileSync } from 'node:fs'
import { Consumer, FetchIsolationLevels } from '@platformatic/kafka'

const { version } = JSON.parse(readFileSync('node_modules/@platformatic/kafka/package.json'))
console.log(`@platformatic/kafka ${version}, node ${process.version}`)

const consumer = new Consumer({
  groupId: 'readers',
  clientId: 'reader',
  bootstrapBrokers: [process.argv[2]]
})
const stream = await consumer.consume({
  topics: ['topic'],
  mode: 'earliest',
  isolationLevel: FetchIsolationLevels.READ_COMMITTED
})
const read = { committed: 0, aborted: 0 }
for await (const message of stream) {
  read[message.value.toString()]++
  if (read.committed === 15) break // the last record of the topic is a committed one
}
console.log(`@platformatic/kafka: ${read.committed} committed, ${read.aborted} aborted`)
process.exit(read.aborted > 0 ? 0 : 1)
JS
go mod init finding
go get github.com/twmb/franz-go/pkg/kgo@v1.22.3 \
	github.com/twmb/franz-go/pkg/kfake@v0.0.0-20260918054303-01f206a7e32c
go build -o finding .
npm install --silent --no-audit --no-fund node@24.21.0 @platformatic/kafka@2.12.1

./finding >address &
broker=$!
until [ -s address ]; do
	kill -0 "$broker"
	sleep 0.1
done
timeout 60 node_modules/.bin/node read.mjs "$(cat address)" || exit 1
