package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/verify"
)

func TestTheResultOfAComparisonSaysWhatItCouldNotLookAt(t *testing.T) {
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	reports := []verify.Report{{
		Object: "invoices", Topic: "coupa.invoices", Rows: 60, Records: 70, Requested: 4, Undated: 3, Spread: 2, Skipped: []verify.Range{{First: 2101, Last: 2150}}, Until: until,
		Findings: []verify.Finding{
			{Difference: verify.StaleLines, ID: 11, Coupa: until, Topic: until, Partition: 1, Offset: 9}, {Difference: verify.NotCovered, ID: 12}, {Difference: verify.Missing, ID: 13, Topic: until, Deleted: true},
		},
	}}
	for form, want := range map[string]string{
		"text": `OBJECT    TOPIC           ROWS  RECORDS  MISSING  STALE  STALE_LINES  DUPLICATE  EXTRA  NOT_COVERED  REQUESTED
invoices  coupa.invoices  60    70       1        0      1            0          0      1            4
invoices: without updated-at: 3
coupa.invoices: ids with versions in several partitions, where nothing orders them: 2
invoices: ids 2101 to 2150 were stepped over: Coupa shows none of many ids before them
invoices id 11: stale_lines, Coupa has 2026-01-02T03:04:05Z, the topic 2026-01-02T03:04:05Z at 1/9
invoices id 12: not_covered
invoices id 13: missing, the topic 2026-01-02T03:04:05Z at 0/0, which is a delete
`,
		"json": `[{"object":"invoices","topic":"coupa.invoices","rows":60,"records":70,"requested":4,"without_updated_at":3,"in_several_partitions":2,"skipped":[{"first":2101,"last":2150}],` +
			`"until":"2026-01-02T03:04:05Z","findings":[{"difference":"stale_lines","id":11,"coupa_updated_at":"2026-01-02T03:04:05Z",` +
			`"topic_updated_at":"2026-01-02T03:04:05Z","partition":1,"offset":9},{"difference":"not_covered","id":12,"partition":0,"offset":0},{"difference":"missing","id":13,"topic_updated_at":"2026-01-02T03:04:05Z","deleted":true,"partition":0,"offset":0}],"truncated":false}]`,
	} {
		var out bytes.Buffer
		err := (&app{stdout: &out}).printReports(reports, verifySettings{output: form, most: 20})
		got := out.String()
		if form == "json" {
			got = strings.Join(strings.Fields(got), "")
		}
		if !errors.Is(err, errDiffers) || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", form, err, got, want)
		}
	}
}

func TestARepairReadsRowsAgainWhoseLinesAreStale(t *testing.T) {
	ids, others := repairable(verify.Report{Findings: []verify.Finding{{Difference: verify.StaleLines, ID: 7}, {Difference: verify.NotCovered, ID: 8}}})
	if len(ids) != 1 || ids[0] != 7 || !others {
		t.Errorf("%v, others %v", ids, others)
	}
}

func TestWhatIsToldOfAComparison(t *testing.T) {
	until, since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	got, err := json.Marshal(comparisonOf("acme", []verify.Report{
		{Object: "invoices", Topic: "coupa.invoices", Rows: 60, Requested: 4, Since: since, Until: until, Findings: []verify.Finding{{Difference: verify.Stale, ID: 1}}},
		{Object: "invoices", List: "invoice_lines", Topic: "coupa.invoices.invoice_lines", Rows: 90, Requested: 1, Since: since, Until: until,
			Findings: []verify.Finding{{Difference: verify.Stale, ID: 2}, {Difference: verify.Extra, ID: 3}}},
		{Object: "users", Topic: "coupa.users", Rows: 5, Until: until, Skipped: []verify.Range{{First: 11, Last: 20}}},
	}))
	const want = `{"tenant":"acme","objects":[{"object":"invoices","topic":"coupa.invoices","since":"2026-01-01T00:00:00Z","until":"2026-01-02T03:04:05Z","rows":60,"requested":5,` +
		`"found":{"extra":1,"stale":2}},{"object":"users","topic":"coupa.users","until":"2026-01-02T03:04:05Z","rows":5,"requested":0,"found":{"stepped_over":10}}]}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

func TestSinceIsATimeAgoOrAnInstant(t *testing.T) {
	now := time.Date(2026, 1, 9, 3, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "7d": now.AddDate(0, 0, -7), "1.5d": now.Add(-36 * time.Hour), "36h": now.Add(-36 * time.Hour), "2026-01-02": time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"2026-01-02T03:00:00+01:00": time.Date(2026, 1, 2, 2, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"7", "d", "-7d", "0d", "a week", "2026-01-10", "NaNd"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
