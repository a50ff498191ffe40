//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// floor is the least that a program can do for a delivery of the same rows: fetch a page, cut it into rows,
// and have an idempotent producer send their bytes while the next page is fetched, compressed as the
// connector's are, with Snappy, or as they are. No checks, no decoding, no Avro, no transaction, no state.
func (p *parts) floor(b *testing.B, t *tenant, n int, codec kgo.CompressionCodec, name string) measurement {
	b.Helper()
	topic := t.name + "." + name
	if _, err := p.admin(b).CreateTopic(b.Context(), 3, 1, nil, topic); err != nil {
		b.Fatal(err)
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(codec), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	defer kafka.Close()
	page := t.pages(b)
	begun, cpu := time.Now(), ownCPU(b)
	var failed atomic.Pointer[error]
	for done, after := 0, int64(0); done < n; {
		rows := page(after)
		if len(rows) == 0 {
			b.Fatalf("the floor got %d of %d rows", done, n)
		}
		for _, row := range rows {
			kafka.Produce(b.Context(), &kgo.Record{Key: strconv.AppendInt(nil, rowID(row), 10), Value: row}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Store(&err)
				}
			})
		}
		done += len(rows)
		after = rowID(rows[len(rows)-1])
	}
	if err := kafka.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	return measurement{usage: usage{cpu: ownCPU(b) - cpu}, records: n, span: time.Since(begun)}
}

// pages gives a function that fetches the page of invoices
// after an id, with the connector's own selection of fields.
func (t *tenant) pages(b *testing.B) func(after int64) [][]byte {
	token := t.token(b)
	query := t.url + "/api/invoices?limit=50&order_by=id&dir=asc&fields=" + url.QueryEscape(selection(b, "invoices")) + "&" +
		url.QueryEscape("id[gt]") + "="
	return func(after int64) [][]byte {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, query+strconv.FormatInt(after, 10), nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("the tenant answered %s: %v", resp.Status, err)
		}
		return split(body)
	}
}

func (t *tenant) token(b *testing.B) string {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {t.clientID}, "client_secret": {t.secret}, "scope": {"core.invoice.read"}}
	resp, err := http.Post(t.url+"/oauth2/token", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		b.Fatalf("the token request was answered %s: %v", resp.Status, err)
	}
	return answer.Token
}

// split cuts an array of objects by counting braces outside texts.
func split(array []byte) [][]byte {
	var rows [][]byte
	depth, from := 0, 0
	for i := 0; i < len(array); i++ {
		switch array[i] {
		case '"':
			for i++; array[i] != '"'; i++ {
				if array[i] == '\\' {
					i++
				}
			}
		case '{':
			if depth++; depth == 1 {
				from = i
			}
		case '}':
			if depth--; depth == 0 {
				rows = append(rows, array[from:i+1])
			}
		}
	}
	return rows
}

// rowID reads the row's first member, which is its id.
func rowID(row []byte) int64 {
	_, rest, _ := bytes.Cut(row, []byte(`"id":`))
	end := bytes.IndexAny(rest, ",}")
	id, err := strconv.ParseInt(string(bytes.TrimSpace(rest[:max(end, 0)])), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("a row does not begin with its id: %.40s", row))
	}
	return id
}

// ownCPU is the CPU time of this process so far.
func ownCPU(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
