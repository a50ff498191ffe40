package record

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// recorded answers each request for rows with the body of the first one, at once.
type recorded struct {
	next http.RoundTripper
	body []byte
}

func (r *recorded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != "/api/invoices" {
		return r.next.RoundTrip(req)
	}
	if r.body == nil {
		res, err := r.next.RoundTrip(req)
		if err == nil {
			r.body, err = io.ReadAll(res.Body)
		}
		if err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Request: req, Body: io.NopCloser(bytes.NewReader(r.body)),
		Header: http.Header{"Content-Type": {"application/json"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
	}, nil
}

// BenchmarkPage is what becomes of a page of 50 invoices of 3 KB once it has come from a simulated tenant.
// Its keys are not in the schema's order, some are missing, and texts have escapes, as Coupa's have.
//
//	Read     rows are cut out and checked
//	Encode   and made Avro
//	Records  and records of it
func BenchmarkPage(b *testing.B) {
	tenant := coupatest.New(coupatest.Config{Rows: 100, RowBytes: 3000, RateLimit: -1, TokenHold: -1, Objects: []string{"invoices"}})
	schema, err := schemas.For("invoices", schemas.Options{})
	if err != nil {
		b.Fatal(err)
	}
	plan, err := schema.Plan()
	if err != nil {
		b.Fatal(err)
	}
	client, err := coupa.New(coupa.Config{
		URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", TokenHold: 1, Transport: &recorded{next: tenant.Transport()},
	})
	if err != nil {
		b.Fatal(err)
	}
	query := coupa.Query{Path: "invoices", Fields: schema.Fields()}
	run := func(name string, take func(coupa.Row) error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if page, err := client.Fetch(b.Context(), query, take); err != nil || page.Rows != 50 {
					b.Fatal(page, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50, "ns/row")
		})
	}
	run("Read", func(coupa.Row) error { return nil })
	encoder, value := plan.Encoder(), []byte(nil)
	run("Encode", func(r coupa.Row) (err error) {
		value, err = encoder.Append(value[:0], r.JSON)
		return err
	})
	form := valueForm{framing: schemas.AppendHeader(nil, 2), plan: plan}
	rows := newEncoding(checkpoint.Stream{Tenant: "acme", Object: "invoices"}, &config.Object{Topic: "coupa.invoices"},
		schemas.AppendHeader(nil, 1), func() valueEncoder { return &rowValue{valueForm: form, encoder: plan.Encoder()} }).encoder()
	chunk := &Chunk{}
	run("Records", func(r coupa.Row) error {
		if len(chunk.Records) == 50 {
			chunk = &Chunk{}
		}
		if err := rows.encode(r, OpSnapshot); err != nil {
			return err
		}
		chunk.put(rows, r, How{Op: OpSnapshot}, rows.topic)
		return nil
	})
}
