package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/verify"
)

func TestTheResultOfAComparisonSaysWhatItCouldNotLookAt(t *testing.T) {
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	reports := []verify.Report{{
		Object: "invoices", Topic: "coupa.invoices", Rows: 60, Records: 70, Undated: 3, Spread: 2, Skipped: []verify.Range{{First: 2101, Last: 2150}}, Until: until,
		Findings: []verify.Finding{
			{Difference: verify.StaleLines, ID: 11, Coupa: until, Topic: until, Partition: 1, Offset: 9}, {Difference: verify.NotCovered, ID: 12},
		},
	}}
	for form, want := range map[string]string{
		"text": `OBJECT    TOPIC           ROWS  RECORDS  MISSING  STALE  STALE_LINES  DUPLICATE  EXTRA  NOT_COVERED
invoices  coupa.invoices  60    70       0        0      1            0          0      1
invoices: without updated-at: 3
coupa.invoices: ids with versions in several partitions, where nothing orders them: 2
invoices: ids 2101 to 2150 were stepped over: Coupa shows none of many ids before them
invoices id 11: stale_lines, Coupa has 2026-01-02T03:04:05Z, the topic 2026-01-02T03:04:05Z at 1/9
invoices id 12: not_covered
`,
		"json": `[{"object":"invoices","topic":"coupa.invoices","rows":60,"records":70,"without_updated_at":3,"in_several_partitions":2,"skipped":[{"first":2101,"last":2150}],` +
			`"until":"2026-01-02T03:04:05Z","findings":[{"difference":"stale_lines","id":11,"coupa_updated_at":"2026-01-02T03:04:05Z",` +
			`"topic_updated_at":"2026-01-02T03:04:05Z","partition":1,"offset":9},{"difference":"not_covered","id":12,"partition":0,"offset":0}],"truncated":false}]`,
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
