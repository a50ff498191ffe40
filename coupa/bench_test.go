package coupa

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// benchPage is a page of 50 rows of about 3 KB, as invoices with some lines are.
func benchPage() []byte {
	var b strings.Builder
	for id := range 50 {
		b.WriteString(map[bool]string{true: "[", false: ","}[id == 0])
		fmt.Fprintf(&b, `{"id":%d,"created-at":"2024-03-01T00:00:00-08:00","updated-at":"2024-03-02T00:00:00-08:00","status":"approved","total":"567.07","paid":false,"payment-date":null,`, id+1)
		fmt.Fprintf(&b, `"supplier":{"id":7,"name":"Chili & Söhne","number":"S-%d"},"currency":{"id":1,"code":"USD"},"internal-note":"%s","invoice-lines":[`, id, strings.Repeat("note ", 20))
		for line := range 10 {
			b.WriteString(map[bool]string{true: "", false: ","}[line == 0])
			fmt.Fprintf(&b, `{"id":%d,"line-num":%d,"price":"12.500000","quantity":"3.0","uom":{"code":"EA"},"description":"Some paper of size %d","account":{"id":3,"code":"a-%d-c"},"total":"37.50","tax-rate":null,"updated-at":"2024-03-02T00:00:%02d-08:00"}`, id*10+line, line, line, line, line)
		}
		b.WriteString("]}")
	}
	return []byte(b.String() + "]")
}

// instant is a RoundTripper that answers at once.
type instant struct{ body []byte }

func (i instant) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 200, Request: r,
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Date": {afterApril}},
		Body:   io.NopCloser(bytes.NewReader(i.body)),
	}, nil
}

func BenchmarkFetch(b *testing.B) {
	body := benchPage()
	c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", Transport: instant{body}})
	if err != nil {
		b.Fatal(err)
	}
	c.tokens.current = newToken("token", 24*time.Hour, tokenHold)
	q := Query{Path: "invoices", Window: Window{From: march, To: april}, Fields: `["id","updated_at",{"invoice_lines":["id"]}]`}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		page, err := c.Fetch(b.Context(), q, func(Row) error { return nil })
		if err != nil || page.Rows != 50 {
			b.Fatal(page, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50, "ns/row")
}

func BenchmarkScan(b *testing.B) {
	rows, err := split(bytes.NewReader(benchPage()))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(rows[0].text)))
	b.ReportAllocs()
	for b.Loop() {
		s := scanner{data: rows[0].text, lines: lineStamps{name: "invoice_lines"}}
		if _, err := s.row(); err != nil {
			b.Fatal(err)
		}
	}
}
