package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/explain"
	"github.com/coupastream/coupastream/connector/rest"
)

const explanation = `invoices 4711 of acme: Waits for the next poll.
What to do: Ask again.

CASE         waits_poll
COUPA        updated-at 2026-01-02T03:04:05Z, the newest of its lines 2026-01-02T03:04:06Z
LINE         invoice_lines 5, updated-at 2026-01-02T03:04:06Z; coupa.invoices.invoice_lines, partition 0, offset 3: delete of -, written 2026-01-02T03:04:05Z
TOPIC        no record found
VERSION      coupa.invoices, partition 2, offset 17: upsert of 2026-01-02T03:04:05Z, written 2026-01-02T03:04:05Z, schema 7
DEAD LETTER  coupa.dead, partition 0, offset 1: upsert of -, written 2026-01-02T03:04:05Z: no number
SEARCHED     coupa.invoices: 900 records, 2.0 MiB, back to 2026-01-02T03:04:05Z; there is more, see --search
SEARCHED     coupa.dead: there is no such topic
LEDGER       from 2026-01-02T03:04:05Z: 2026-01-02T03:04:05Z with lines of 2026-01-02T03:04:06Z
STREAM       RUNNING IDLE, mark 2026-01-02T03:04:05Z, polls every 1s
             held up
BACKFILL     snapshot of 40 rows, has still to come to the row
LOOK-BACK    of 1h every 10m, the last at -
`

// The answer comes in lines; what is asked for and what is told are its own.
func TestARowIsExplained(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later := at.Add(time.Second)
	answer := explain.Answer{
		Connector: "acme", Object: "invoices", ID: 4711, Case: "waits_poll", Sentence: "Waits for the next poll.", Next: "Ask again.",
		Coupa: explain.Coupa{Asked: true, Shown: true, UpdatedAt: &at, LinesAt: &later, Lines: []explain.Line{
			{List: "invoice_lines", ID: 5, UpdatedAt: &later, Record: &explain.Record{Topic: "coupa.invoices.invoice_lines", Offset: 3, Op: "delete", Written: at, Deleted: true}},
		}},
		Version:  &explain.Record{Topic: "coupa.invoices", Partition: 2, Offset: 17, Op: "upsert", UpdatedAt: &at, Written: at, Schema: 7},
		Letter:   &explain.Record{Topic: "coupa.dead", Offset: 1, Op: "upsert", Written: at, Reason: "no number"},
		Searches: []explain.Search{{Topic: "coupa.invoices", Records: 900, Bytes: 2 << 20, Back: &at}, {Topic: "coupa.dead", Missing: true, Through: true}},
		Ledger:   explain.Ledger{Floor: &at, Versions: []explain.Published{{UpdatedAt: &at, LinesAt: &later}}},
		State: explain.State{
			State: "RUNNING", Condition: "IDLE", Trace: "held up", Mark: &at, Interval: 1000,
			Backfill: &explain.Walk{Kind: "snapshot", Rows: 40, Holds: true}, LookBacks: []explain.Looked{{Depth: 3600000, Every: 600000}},
		},
	}
	url := worker(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		lines := json.NewEncoder(rw)
		switch {
		case !strings.Contains(r.Header.Get("Accept"), rest.LinesType):
			t.Errorf("asked with %q", r.Header)
		case r.URL.RequestURI() == "/connectors/acme/explain/invoices/4711?search_bytes=10737418240&updated_at=2026-01-02T03%3A04%3A05Z":
			_ = lines.Encode(rest.ExplainLine{Progress: &explain.Progress{Topic: "coupa.invoices", Records: 450, Bytes: 1 << 20}})
			_ = lines.Encode(rest.ExplainLine{Answer: &answer})
		case strings.HasPrefix(r.URL.Path, "/connectors/acme/explain/users/1"):
			_ = lines.Encode(rest.ExplainLine{Code: 409, Message: "another worker has it now"})
		default:
			rw.WriteHeader(http.StatusNotFound)
			_, _ = rw.Write([]byte(`{"error_code":404,"message":"Connector acme has no object invoice; it has invoices"}`))
		}
	}))
	command := strings.Fields("explain acme invoices 4711 --search 10GiB --updated-at 2026-01-02T03:04:05Z")
	if got := ask(t, url, command...); got.status != 0 || got.stdout != explanation || !strings.Contains(got.stderr, "records=450 mib=1") {
		t.Errorf("status %d\n%s%s", got.status, got.stdout, got.stderr)
	}
	var told explain.Answer
	if got := ask(t, url, append(command, "-o", "json")...); got.status != 0 || json.Unmarshal([]byte(got.stdout), &told) != nil || told.Case != "waits_poll" {
		t.Errorf("status %d\n%s%s", got.status, got.stdout, got.stderr)
	}
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"acme invoices INV-17", 2, "no number that is printed on a document"},
		{"acme invoices 0", 2, "is not an id"},
		{"acme invoices 4711 --search lots", 2, "give e.g. 512MiB"},
		{"acme invoices 4711 --search 99999999TiB", 2, "is not a size"},
		{"acme invoices 4711 --updated-at yesterday", 2, "is not an instant"},
		{"acme invoices 4711 -o yaml", 2, "give text or json"},
		{"acme invoices", 2, "accepts 3 arg"},
		{"acme invoice 1", 1, "it has invoices"},
		{"acme users 1", 1, "another worker has it now"},
	} {
		if got := ask(t, url, append([]string{"explain"}, strings.Fields(c.args)...)...); got.status != c.status || !strings.Contains(got.stderr, c.want) || got.stdout != "" {
			t.Errorf("%s: status %d\n%s%s", c.args, got.status, got.stdout, got.stderr)
		}
	}
}
