package connector

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

// limit makes a topic take batches of that size, and makes the topic if it is not there.
func (h *harness) limit(topic string, bytes int) {
	h.t.Helper()
	cl, err := kgo.NewClient(h.kafka()...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	admin, value := kadm.NewClient(cl), fmt.Sprint(bytes)
	if _, err := admin.CreateTopic(h.t.Context(), 3, 1, map[string]*string{"max.message.bytes": &value}, topic); err == nil {
		return
	}
	answer, err := admin.AlterTopicConfigs(h.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, topic)
	if err != nil || answer[0].Err != nil {
		h.t.Fatal(err, answer)
	}
}

const (
	largeNote  = 60_000
	topicTakes = 40_000
)

// A record that is too large stops its object before it is
// produced, and the object goes on once the topic takes it.
func TestARecordThatItsTopicDoesNotTakeWaitsUntilItDoes(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 61, Rows: 40}, func(h *harness) {
		h.limit("coupa.invoices", topicTakes)
		h.tenant.SetMember("invoices", 9, "internal-note", `"`+strings.Repeat("x", largeNote)+`"`)
		r := h.start()
		h.settle()
		s := r.Connectors()[0].Tasks[0]
		for _, want := range []string{"invoices id 9: a record of ", "larger than topic coupa.invoices takes (39844)", "record.oversize"} {
			if s.State != status.Failed || !strings.Contains(s.Trace, want) {
				t.Errorf("invoices: %s %.300q, want FAILED and %q", s.State, s.Trace, want)
			}
		}
		h.check("suppliers")
		h.limit("coupa.invoices", 1<<20)
		h.pass(20 * time.Minute)
		h.check("invoices")
	})
}

// With record.oversize=trim the longest texts are cut to what the topic
// takes, the header tells of them, and nothing is published twice for that.
func TestTheLongestTextsAreCutToWhatTheTopicTakes(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 62, Rows: 40, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["record.oversize"] = "trim"
		h.limit("coupa.invoices", topicTakes)
		h.tenant.SetMember("invoices", 9, "internal-note", `"`+strings.Repeat("é", largeNote/2)+`"`)
		h.tenant.SetMember("invoices", 9, "no-such-field", `"`+strings.Repeat("y", largeNote)+`"`)
		h.start()
		h.settle()
		h.stop()
		h.state = t.TempDir()
		r := h.start()
		h.pass(5 * time.Minute)
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running {
			t.Fatalf("%s %q", s.State, s.Trace)
		}
		var cut []readRecord
		for _, rec := range h.records("coupa.invoices") {
			if rec.headers[record.HeaderTrimmed] != "" {
				cut = append(cut, rec)
			}
		}
		if len(cut) != 1 || cut[0].id != 9 || len(cut[0].value) > topicTakes || len(cut[0].value) < topicTakes/2 {
			t.Fatalf("%d records were cut, want one, of a size near the limit", len(cut))
		}
		var told struct{ Cut []rowtext.Cut }
		if err := json.Unmarshal([]byte(cut[0].headers[record.HeaderTrimmed]), &told); err != nil || len(told.Cut) != 2 {
			t.Fatalf("%v: %s", err, cut[0].headers[record.HeaderTrimmed])
		}
		for _, c := range told.Cut {
			if c.Bytes != largeNote || c.Kept < 1000 || c.Path != "internal-note" && c.Path != "no-such-field" {
				t.Errorf("%+v", c)
			}
		}
		if !strings.Contains(string(cut[0].value), strings.Repeat("é", told.Cut[0].Kept/2)) {
			t.Error("the record does not have what was kept")
		}
		h.tenant.SetMember("invoices", 9, "internal-note", `"short"`)
		h.tenant.SetMember("invoices", 9, "no-such-field", `"short"`)
		h.settle()
		if last := h.records("coupa.invoices"); last[len(last)-1].headers[record.HeaderTrimmed] != "" {
			t.Error("a record that fits is said to be cut")
		}
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running {
			t.Errorf("%s %q", s.State, s.Trace)
		}
	})
}

// Where there is no text to cut, a record that is too large stops its object.
func TestARowWithoutLongTextsIsNotCut(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 63, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["record.oversize"] = "trim"
		h.limit("coupa.invoices", topicTakes)
		h.tenant.SetMember("invoices", 9, "no-such-field", `[`+strings.Repeat("1234567,", largeNote/8)+`1]`)
		r := h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Failed || !strings.Contains(s.Trace, "a record with all its texts cut") && !strings.Contains(s.Trace, "a record of") {
			t.Errorf("%s %q", s.State, s.Trace)
		}
	})
}

// With record.oversize=deadletter the row goes, whole, to a topic that takes it.
func TestARecordThatIsTooLargeIsADeadLetter(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 64, Rows: 40, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["record.oversize"], h.keys["errors.deadletterqueue.topic.name"] = "deadletter", "coupa.dead"
		h.tenant.SetMember("invoices", 9, "internal-note", `"`+strings.Repeat("x", 2<<20)+`"`)
		row := h.tenant.Rows("invoices")[39]
		r := h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || s.DeadLetters != 1 || s.Published != 39 {
			t.Errorf("%s %q, %d dead letters, %d published", s.State, s.Trace, s.DeadLetters, s.Published)
		}
		dead := h.records("coupa.dead")
		if len(dead) != 1 || dead[0].id != 9 || len(dead[0].value) < 2<<20 || dead[0].headers[record.HeaderErrorStage] != "KAFKA_PRODUCE" {
			t.Fatalf("%d dead letters", len(dead))
		}
		// What can't be encoded is another matter.
		h.tenant.SetRaw("invoices", row.ID, spoilt(row.JSON))
		h.tenant.Update("invoices", row.ID)
		h.tenant.SetRaw("invoices", row.ID, spoilt(h.tenant.Rows("invoices")[39].JSON))
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Failed || !strings.Contains(s.Trace, "gross-total") {
			t.Errorf("a row that can't be encoded, with errors.tolerance=none: %s %q", s.State, s.Trace)
		}
	})
}

// A row that even the dead letter topic does not take stops
// its object, and says which topics are to be raised.
func TestARowThatTheDeadLetterTopicDoesNotTakeStopsItsObject(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 65, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["record.oversize"], h.keys["errors.deadletterqueue.topic.name"] = "deadletter", "coupa.dead"
		h.limit("coupa.invoices", topicTakes)
		h.limit("coupa.dead", topicTakes)
		h.tenant.SetMember("invoices", 9, "internal-note", `"`+strings.Repeat("x", largeNote)+`"`)
		r := h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Failed || !strings.Contains(s.Trace, "larger than topic coupa.dead takes") {
			t.Errorf("%s %q", s.State, s.Trace)
		}
		h.limit("coupa.dead", 1<<20)
		h.pass(20 * time.Minute)
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || len(h.records("coupa.dead")) != 1 {
			t.Errorf("%s %q", s.State, s.Trace)
		}
	})
}
