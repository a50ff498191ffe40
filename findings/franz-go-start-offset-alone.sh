#!/bin/sh
# A consumer that starts at the end goes to the log start, once it has been away for longer than retention.
#
# What one expects: a group that sets only ConsumeStartOffset(NewOffset().AtEnd()) never reads what is old,
# as with Kafka's auto.offset.reset=latest, which also holds for a committed offset that retention has
# passed. franz-go 1.21 does so. A minor version keeps it.
#
# What happens: since franz-go 1.22.0 the start offset no longer decides about a committed offset that the
# log no longer has (its changelog says that this is meant). The reset offset does, and its new default
# resumes such a partition at the log start. After an upgrade to 1.22.3 the same program reads everything
# that is left in the topic, and acts on it late. The other way round nothing has changed:
# ConsumeResetOffset alone still sets both. So the two options, which look alike, differ in their reach.
#
# Seen (ten records, the group's committed offset is 2, retention has taken the first 5):
#
#   github.com/twmb/franz-go v1.21.7
#   ConsumeStartOffset(AtEnd) alone: first record read is new, offset 10
#   ConsumeResetOffset(AtEnd) alone: first record read is new, offset 10
#   github.com/twmb/franz-go v1.22.3
#   ConsumeStartOffset(AtEnd) alone: first record read is old, offset 5
#   ConsumeResetOffset(AtEnd) alone: first record read is new, offset 10
#
# What to do instead: always set both options. For "never old records":
# ConsumeStartOffset(NewOffset().AtEnd()) with ConsumeResetOffset(NewOffset().AtEnd()).
#
# Needs: go. The broker is kfake, franz-go's own (v0.0.0-20260918054303-01f206a7e32c).
# Exits 1 if the behaviour is another one.
set -eu
folder=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker"; rm -rf "$folder"' EXIT
cd "$folder"
mkdir broker consumer

cat >broker/main.go <<'GO'
// Broker serves a topic for each test, of ten records, five of which are deleted, and a group that has read
// two; it prints its address.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	topics := []string{"start-v1.21.7", "reset-v1.21.7", "start-v1.22.3", "reset-v1.22.3"}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...))
	check(err)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	check(err)
	admin := kadm.NewClient(client)
	ctx := context.Background()
	for _, topic := range topics {
		for range 10 {
			record := &kgo.Record{Topic: topic, Value: []byte("old")}
			check(client.ProduceSync(ctx, record).FirstErr())
		}
		var committed, start kadm.Offsets
		committed.AddOffset(topic, 0, 2, -1)
		check(admin.CommitAllOffsets(ctx, topic, committed))
		start.AddOffset(topic, 0, 5, -1)
		deleted, err := admin.DeleteRecords(ctx, start)
		check(err)
		check(deleted.Error())
	}
	fmt.Println(cluster.ListenAddrs()[0])
	select {}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
cat >consumer/main.go <<'GO'
// Consumer joins the group of a topic with one offset option set, writes new records until it reads
// something, and prints which record it read first.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	address, topic := os.Args[1], os.Args[2]
	name, option := "ConsumeStartOffset", kgo.Opt(kgo.ConsumeStartOffset(kgo.NewOffset().AtEnd()))
	if strings.HasPrefix(topic, "reset") {
		name, option = "ConsumeResetOffset", kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd())
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic),
		kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic), option)
	check(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		poll, done := context.WithTimeout(ctx, time.Second)
		records := client.PollFetches(poll).Records()
		done()
		if len(records) > 0 {
			first := records[0]
			fmt.Printf("%s(AtEnd) alone: first record read is %s, offset %d\n",
				name, first.Value, first.Offset)
			return
		}
		check(client.ProduceSync(ctx, kgo.StringRecord("new")).FirstErr())
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
(
	cd broker
	go mod init broker
	go get github.com/twmb/franz-go/pkg/kgo@v1.22.3 github.com/twmb/franz-go/pkg/kadm@v1.19.0 \
		github.com/twmb/franz-go/pkg/kfake@v0.0.0-20260918054303-01f206a7e32c
	go build -o broker .
)
for version in v1.21.7 v1.22.3; do
	cp -r consumer $version
	(
		cd $version
		go mod init consumer
		go get github.com/twmb/franz-go/pkg/kgo@$version
		go build -o consumer .
	)
done

broker/broker >address &
broker=$!
until [ -s address ]; do
	kill -0 "$broker"
	sleep 0.1
done
for version in v1.21.7 v1.22.3; do
	(cd $version && go list -m github.com/twmb/franz-go)
	for option in start reset; do
		$version/consumer "$(cat address)" $option-$version
	done
done >seen
cat seen

[ "$(sed -n 's/.* read is \([a-z]*\),.*/\1/p' seen | xargs)" = "new new old new" ]
