// The program keeps a table of invoices by key: go run . [KAFKA [REGISTRY [FILE]]]
//
// What is saved is what was read up to the positions that are committed after it: when the program is killed
// between the two, it reads some records once more, which changes nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math/big"
	"os"
	"os/signal"
	"syscall"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// row is what the table has of an invoice, with the total as exact text.
type row struct {
	Number string `json:"invoice_number,omitempty"`
	Total  string `json:"gross_total,omitempty"`
}

func main() {
	args := append(os.Args[1:], []string{"127.0.0.1:9092", "http://127.0.0.1:8081", "invoices.json"}[len(os.Args)-1:]...)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, args[0], args[1], args[2]); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kafka, registry, file string) error {
	table, err := load(file)
	if err != nil {
		return err
	}
	client, err := sr.NewClient(sr.URLs(registry))
	if err != nil {
		return err
	}
	decode := &decoder{client, map[int]*avro.Schema{}}
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(kafka),
		kgo.ConsumerGroup("table-go"),
		kgo.ConsumeTopics("coupa.invoices"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that positions pass the markers of transactions, and the lag becomes 0
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
	)
	if err != nil {
		return err
	}
	defer consumer.CloseAllowingRebalance()
	for {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for record := range fetches.RecordsAll() {
			if record.Attrs.IsControl() {
				continue
			}
			if err := apply(ctx, table, decode, record); err != nil {
				return fmt.Errorf("partition %d, offset %d: %w", record.Partition, record.Offset, err)
			}
		}
		if err := save(table, file); err != nil {
			return err
		}
		if err := consumer.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
		consumer.AllowRebalance()
		fmt.Println(describe(table))
	}
}

// apply puts a record into the table: the key says whose it is, coupa.op what happened.
func apply(ctx context.Context, table map[string]row, decode *decoder, record *kgo.Record) error {
	key, err := decode.record(ctx, record.Key)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%v/%v", key["tenant"], key["id"])
	switch op := header(record, "coupa.op"); op {
	case "delete": // a tombstone: the value is null
		delete(table, name)
	case "snapshot", "upsert": // what was there before the connector began, and what changed since
		invoice, err := decode.record(ctx, record.Value)
		if err != nil {
			return err
		}
		var r row // fields that are null stay empty
		r.Number, _ = invoice["invoice_number"].(string)
		if total, ok := invoice["gross_total"].(*big.Rat); ok {
			r.Total = total.FloatString(9) // its scale
		}
		table[name] = r
	default:
		return fmt.Errorf("coupa.op is %q", op)
	}
	return nil
}

func header(record *kgo.Record, name string) string {
	for _, h := range record.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// decoder reads each record with the schema that it was written with.
type decoder struct {
	registry *sr.Client
	schemas  map[int]*avro.Schema
}

func (d *decoder) record(ctx context.Context, data []byte) (fields map[string]any, err error) {
	id, body, err := new(sr.ConfluentHeader).DecodeID(data)
	if err != nil {
		return nil, err
	}
	if d.schemas[id] == nil {
		s, err := d.registry.SchemaByID(ctx, id)
		if err != nil {
			return nil, err
		}
		if d.schemas[id], err = avro.Parse(s.Schema); err != nil {
			return nil, err
		}
	}
	_, err = d.schemas[id].Decode(body, &fields)
	return fields, err
}

func load(file string) (map[string]row, error) {
	table := map[string]row{}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return table, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &table)
	}
	return table, err
}

// save replaces the file whole, so that it is never half written.
func save(table map[string]row, file string) error {
	text, err := json.Marshal(table)
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	return err
}

func describe(table map[string]row) string {
	total := new(big.Rat)
	for _, r := range table {
		if amount, ok := new(big.Rat).SetString(r.Total); ok {
			total.Add(total, amount)
		}
	}
	return fmt.Sprintf("%d invoices, %s in total", len(table), total.FloatString(9))
}
