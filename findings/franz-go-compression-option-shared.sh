#!/bin/sh
# One ProducerBatchCompression for several clients: each new client writes into the list of codecs.
#
# What one expects: a kgo.Opt is a value that says something. A program makes its options once and gives them to
# all of its clients, which may be made at the same time.
#
# What happens: franz-go 1.22.3. ProducerBatchCompression keeps the slice that it is given, and NewClient takes
# codecs out of it that are there twice, in place: it moves the later ones forward, also onto themselves where
# none is there twice. So the caller's own slice changes, and two clients that are made at once with the same
# option write the same memory: the race detector ends the program, though no line of it is wrong.
#
# Seen (snappy, snappy, zstd were given; then a slice of one codec, two clients at once, built with -race):
#
#   github.com/twmb/franz-go v1.22.3
#   given: snappy snappy zstd; after one client: snappy zstd zstd
#   two clients at once: the race detector reports a data race
#
# What to do instead: make the compressor once, with DefaultCompressor, and give all clients WithCompressor of
# it; or make the option anew for each client.
#
# Needs: go, a C compiler (for the race detector). Exits 1 if the behaviour is another one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

func client(opts ...kgo.Opt) {
	cl, err := kgo.NewClient(opts...) // does not connect yet
	if err != nil {
		panic(err)
	}
	cl.Close()
}

func name(c kgo.CompressionCodec) string {
	if c == kgo.SnappyCompression() {
		return "snappy"
	}
	return "zstd"
}

func main() {
	if len(os.Args) > 1 {
		shared := []kgo.Opt{kgo.ProducerBatchCompression(kgo.SnappyCompression())}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { client(shared...) })
		}
		both.Wait()
		return
	}
	codecs := []kgo.CompressionCodec{kgo.SnappyCompression(), kgo.SnappyCompression(), kgo.ZstdCompression()}
	client(kgo.ProducerBatchCompression(codecs...))
	fmt.Println("given: snappy snappy zstd; after one client:", name(codecs[0]), name(codecs[1]), name(codecs[2]))
}
GO
go mod init finding
go get github.com/twmb/franz-go/pkg/kgo@v1.22.3
go build -o plain .
CGO_ENABLED=1 go build -race -o raced .

{
	go list -m github.com/twmb/franz-go
	./plain
	# what is a race is not always seen in the first run
	for _ in 1 2 3 4 5 6 7 8 9 10; do ./raced at-once 2>>races || true; done
	grep -q 'DATA RACE' races && echo "two clients at once: the race detector reports a data race"
} >seen
cat seen
grep -q 'after one client: snappy zstd zstd' seen
grep -q 'reports a data race' seen
