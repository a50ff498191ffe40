package rest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/status"
)

func TestHealthOfATaskThatNothingIsKnownOf(t *testing.T) {
	got, err := json.Marshal(HealthOf(status.ConnectorStatus{
		Name: "acme", Tenant: "acme", State: status.Running,
		Tasks: []status.TaskStatus{{Object: "invoices", Topic: "coupa.invoices", State: status.Unassigned}},
	}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"acme","tenant":"acme","state":"RUNNING","from_file":false,"worker_id":"","rate":null,"token":null,"clock_ahead_ms":null,` +
		`"tasks":[{"id":0,"object":"invoices","topic":"coupa.invoices","state":"UNASSIGNED","condition":"","mark":null,"proven":null,"freshness_ms":null,"interval_ms":0,"verified":null,` +
		`"backfilling":false,"progress":null,"rows":0,"published":0,"dropped":0,"polls":0,"late":0,"lateness_ms":0,"silent":0,"lookback_finds":0,"dead_letters":0,"trimmed":0,"malformed_texts":0,"without_updated_at":0,` +
		`"deletes":null,"errors":[],"notices":[],"restarts":0,"next_try":null,"circuit_open":false,"schema_versions":[]}]}`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// What is not meant to run is not behind.
func TestWhatIsPausedOrStoppedHasNoFreshness(t *testing.T) {
	now := time.Now()
	for state, told := range map[status.State]bool{status.Running: true, status.Failed: true, status.Unassigned: true, status.Paused: false, status.Stopped: false} {
		h := HealthOf(status.ConnectorStatus{Tasks: []status.TaskStatus{{State: state, Proven: now.Add(-time.Hour)}}}, now)
		if got := h.Tasks[0].Freshness != nil; got != told {
			t.Errorf("%s has a freshness: %v", state, got)
		}
	}
}

func TestHealthOfATaskOnItsOwner(t *testing.T) {
	zone := time.FixedZone("", 3600)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, zone)
	h := HealthOf(status.ConnectorStatus{
		Owner: status.Owner{WorkerID: "a:1", Local: true},
		Rate:  status.RateStatus{Limit: 15, Waiting: [4]int{1, 2, 3, 4}, History: []status.Point{{At: at, Current: 7}, {At: at.Add(time.Second), Proven: at, Published: 5, Lateness: time.Minute}}},
		Token: status.TokenStatus{Age: time.Second, ExpiresIn: time.Minute},
		Tasks: []status.TaskStatus{{
			Proven: at, Interval: 20 * time.Second, Progress: status.Progress{Done: 3, Total: 9, Left: time.Second},
			Verified: status.Verified{At: at, Until: at, Rows: 7, Found: map[string]int64{"stale": 2}},
			Errors:   []status.Trouble{{At: at, Message: "m", Remedy: "r"}},
			Notices:  []status.Trouble{{At: at, Message: "lacks", Remedy: "fill"}},
			Deletes: &status.Deletes{
				Stage: checkpoint.SweepWaiting, Since: at, Audit: true, Ended: at, Known: 9, Shown: 4, Missing: 5, Examples: []int64{7}, Why: "half", Deleted: 2, Progress: status.Progress{Done: 9, Total: 30},
			},
			SchemaVersions: []status.SchemaVersion{{At: at, Subject: "s", ID: 4}},
		}},
	}, at.Add(1500*time.Millisecond))
	got, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"","tenant":"","state":"","from_file":false,"worker_id":"a:1",` +
		`"rate":{"limit":15,"auto":false,"current":0,"used":0,"waiting":{"poll":1,"snapshot":2,"backfill":3,"sweep":4},"throttled_since":null,` +
		`"history":[{"at":"2026-01-02T02:04:05Z","current":7,"used":0,"freshness_ms":null,"published":0,"lateness_ms":0},` +
		`{"at":"2026-01-02T02:04:06Z","current":0,"used":0,"freshness_ms":1000,"published":5,"lateness_ms":60000}]},"token":{"age_ms":1000,"expires_in_ms":60000},"clock_ahead_ms":0,` +
		`"tasks":[{"id":0,"object":"","topic":"","state":"","condition":"","mark":null,"proven":"2026-01-02T02:04:05Z","freshness_ms":1500,"interval_ms":20000,` +
		`"verified":{"at":"2026-01-02T02:04:05Z","since":null,"until":"2026-01-02T02:04:05Z","rows":7,"requested":0,"found":{"stale":2},"proven_from":null,"proven_until":null},"backfilling":false,` +
		`"progress":{"done":3,"total":9,"left_ms":1000},"rows":0,"published":0,"dropped":0,"polls":0,"late":0,"lateness_ms":0,"silent":0,"lookback_finds":0,` +
		`"dead_letters":0,"trimmed":0,"malformed_texts":0,"without_updated_at":0,` +
		`"deletes":{"stage":"waiting","since":"2026-01-02T02:04:05Z","audit":true,"began":null,"ended":"2026-01-02T02:04:05Z","known":9,"shown":4,"missing":5,"examples":[7],"why":"half","approved":null,"deleted":2,"progress":{"done":9,"total":30,"left_ms":null}},` +
		`"errors":[{"at":"2026-01-02T02:04:05Z","message":"m","remedy":"r"}],` +
		`"notices":[{"at":"2026-01-02T02:04:05Z","message":"lacks","remedy":"fill"}],"restarts":0,"next_try":null,"circuit_open":false,` +
		`"schema_versions":[{"at":"2026-01-02T02:04:05Z","subject":"s","id":4}]}]}`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
