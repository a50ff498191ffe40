package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/registry"
)

// devPrinter writes what happens for a person to read, or as lines of JSON.
type devPrinter struct {
	mu          sync.Mutex
	w           io.Writer
	quiet, json bool
	values      devValues
	n           int64
	bytes       int64
	said        int64
}

func (p *devPrinter) addresses(kafka, registry, rest, coupaURL string, s devSettings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range []struct {
		name, address string
		port          int
	}{{"Kafka", kafka, s.kafkaPort}, {"the Schema Registry", registry, s.registryPort}, {"the REST API", rest, s.restPort}, {"Coupa", coupaURL, s.coupaPort}} {
		if part.port != 0 && !strings.HasSuffix(part.address, fmt.Sprint(":", part.port)) {
			fmt.Fprintf(p.w, "Port %d is taken: %s has another one. Commands in documents are for the usual one.\n", part.port, part.name)
		}
	}
	kcat := "kcat -C -b " + kafka + " -t coupa.invoices -X isolation.level=read_committed"
	hint := ""
	if s.format == "avro" {
		kcat += " -s value=avro -r " + registry
		hint = "\n  (where kcat was built without Avro, as Debian's is, start dev with --value-format json)"
	}
	fmt.Fprintf(p.w, `Kafka            %[1]s
Schema Registry  %[2]s
REST             %[3]s/connectors/dev/status
Status page      %[3]s/ui/
Coupa            %[4]s   (simulated; client id and secret: dev)

  %[5]s%[6]s

`, kafka, registry, rest, coupaURL, kcat, hint)
}

// How much of a record's fields a line has, and how much of one, in characters.
const (
	mostShown   = 110
	mostOfField = 32
)

func (p *devPrinter) published(r shard.Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	p.bytes += int64(len(r.Value))
	switch {
	case p.json:
		line, err := json.Marshal(map[string]any{
			"topic": r.Topic, "partition": r.Partition, "offset": r.Offset, "op": r.Op, "id": r.ID, "updated_at": r.UpdatedAt, "value": p.values.row(r.Value),
		})
		if err == nil {
			fmt.Fprintf(p.w, "%s\n", line)
		}
	case !p.quiet:
		fmt.Fprintf(p.w, "%8d  %-8s  %-24s id %-6d %s  %s\n", p.n, r.Op, r.Topic, r.ID, r.UpdatedAt, gist(p.values.row(r.Value), mostShown))
	}
}

// devValues reads records' values as any consumer would, with the schemas that the registry has.
type devValues struct {
	ctx      context.Context
	format   string
	registry *registry.Client
	readers  map[int]*schemas.Reader // by schema id
}

// row is a value as JSON; null for a tombstone, and for what can't be read.
func (v *devValues) row(value []byte) json.RawMessage {
	const header = 5 // of the registry's framing: 0 and the id
	switch {
	case v.format == "json" && len(value) > 0:
		return value
	case len(value) <= header:
		return json.RawMessage("null")
	case v.format == "jsonschema":
		return value[header:]
	}
	id := int(binary.BigEndian.Uint32(value[1:]))
	r, ok := v.readers[id]
	if !ok {
		if avsc, err := v.registry.Schema(v.ctx, id); err == nil {
			r, _ = schemas.NewReader(avsc, "")
		}
		v.readers[id] = r
	}
	if r == nil {
		return json.RawMessage("null")
	}
	row, err := r.AppendRow(nil, value)
	if err != nil {
		return json.RawMessage("null")
	}
	return row
}

// gist is as many of a row's first plain fields as a line takes,
// but for those that stand on it already.
func gist(row json.RawMessage, most int) string {
	var b strings.Builder
	members := json.NewDecoder(bytes.NewReader(row))
	_, _ = members.Token()
	for members.More() {
		name, err := members.Token()
		var value json.RawMessage
		if err != nil || members.Decode(&value) != nil {
			break
		}
		if name == "id" || name == "created_at" || name == "updated_at" || value[0] == '{' || value[0] == '[' {
			continue
		}
		text := []rune(string(value))
		if len(text) > mostOfField {
			text = append(text[:mostOfField-1], '…')
		}
		field := fmt.Sprintf("%v=%s ", name, string(text))
		if utf8.RuneCountInString(b.String()+field) > most {
			break
		}
		b.WriteString(field)
	}
	return strings.TrimSpace(b.String())
}

// count prints the running count every few seconds while it grows.
func (p *devPrinter) count(ctx context.Context) error {
	const every = 5 * time.Second
	for t := time.NewTicker(every); ; {
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
			p.mu.Lock()
			if p.n > p.said {
				fmt.Fprintf(p.w, "--- %d changes published, %.1f a second, %.1f MB of Avro\n", p.n, float64(p.n-p.said)/every.Seconds(), float64(p.bytes)/1e6)
				p.said = p.n
			}
			p.mu.Unlock()
		}
	}
}

func (p *devPrinter) total() {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "--- stopped after %d changes\n", p.n)
}
