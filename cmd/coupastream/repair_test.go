package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/verify"
)

func TestRepairAsksForWhatIsMissingOrStale(t *testing.T) {
	done := map[string]any{"id": "s1", "object": "invoices", "state": "DONE"}
	a := &answers{given: map[string]any{"POST /connectors/acme/snapshots": done, "GET /connectors/acme/snapshots": []any{done}}}
	var stderr bytes.Buffer
	r := &remote{app: &app{stderr: &stderr}}
	r.to.URL = worker(t, a)
	c, err := r.client()
	if err != nil {
		t.Fatal(err)
	}
	many := verify.Report{Object: "users"}
	for id := range int64(idsPerSnapshot + 1) {
		many.Findings = append(many.Findings, verify.Finding{Difference: verify.Missing, ID: id})
	}
	reports := []verify.Report{
		{Object: "suppliers"},
		{Object: "invoices", Findings: []verify.Finding{{Difference: verify.Missing, ID: 9}, {Difference: verify.Stale, ID: 4}}},
		{Object: "invoices", List: "invoice_lines", Findings: []verify.Finding{
			{Difference: verify.Missing, ID: 90, Row: 9}, {Difference: verify.Extra, ID: 91, Row: 12}, {Difference: verify.Stale, ID: 92, Row: 12},
		}},
		many,
	}
	if err := r.repair(t.Context(), c, "acme", reports); err != nil {
		t.Fatal(err)
	}
	if a.asked[0] != `POST /connectors/acme/snapshots {"object":"invoices","ids":[4,9,12]}` || len(a.asked) != 6 || !strings.HasSuffix(a.asked[4], fmt.Sprintf(`"ids":[%d]}`, idsPerSnapshot)) {
		t.Errorf("%d requests, the first %s", len(a.asked), a.asked[0])
	}
	if want := fmt.Sprintf("invoices: 3 rows were read again\nusers: %d rows were read again\nusers: 1 rows were read again\n", idsPerSnapshot); stderr.String() != want {
		t.Errorf("%s", &stderr)
	}
}

func TestRepairSaysWhatItCannotMend(t *testing.T) {
	a := &answers{}
	r := &remote{app: &app{}}
	r.to.URL = worker(t, a)
	c, err := r.client()
	if err != nil {
		t.Fatal(err)
	}
	reports := []verify.Report{{Object: "invoices", Findings: []verify.Finding{{Difference: verify.Duplicate, ID: 9}, {Difference: verify.Extra, ID: 4}}}}
	if err := r.repair(t.Context(), c, "acme", reports); !errors.Is(err, errRemains) || len(a.asked) != 0 {
		t.Errorf("%v, asked %v", err, a.asked)
	}
	reports[0].List = "invoice_lines"
	reports[0].Findings[1].Row, reports[0].Findings[1].RowGone = 3, true
	if err := r.repair(t.Context(), c, "acme", reports); !errors.Is(err, errRemains) || len(a.asked) != 0 {
		t.Errorf("lines of a row that is gone: %v, asked %v", err, a.asked)
	}
	reports[0].List = ""
	reports[0].Findings[0].Difference = verify.Missing
	if err := r.repair(t.Context(), c, "acme", reports); err == nil || !strings.HasPrefix(err.Error(), "asking for 1 rows of invoices: Connector x not found") {
		t.Errorf("%v", err)
	}
}
