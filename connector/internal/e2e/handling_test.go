//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/schemas"
)

// widening meets a subject whose version contradicts the schema: a field of another
// type, and one that the schema lacks. With schema.conflict=widen the registry
// takes a schema that has both, under BACKWARD, and every row goes out by it.
func (p *parts) widening(t *testing.T) {
	begun := time.Now()
	tenant := p.tenant(t, "widen", "--rows", "300", "--changes-per-second", "0")
	subject := tenant.name + ".suppliers-value"
	s, err := schemas.For("suppliers", schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	status := regexp.MustCompile(`\{"name":"status","type":\["null","string"\]`)
	former := status.ReplaceAllString(s.JSON(), `{"name":"from_before","type":["null","string"],"default":null},{"name":"status","type":["null","long"]`)
	if former == s.JSON() {
		t.Fatal("the schema has no status")
	}
	p.putRegistry(t, http.MethodPost, "/subjects/"+subject+"/versions", map[string]string{"schema": former})
	p.putRegistry(t, http.MethodPut, "/config/"+subject, map[string]string{"compatibility": "BACKWARD"})
	w := p.worker(t, tenant, map[string]string{"coupa.objects": "suppliers", "schema.conflict": "widen", "custom.fields": "map"})
	w.start()
	w.mustHold(t, begun)
	text := p.latest(t, subject)
	if !strings.Contains(text, `"name":"from_before"`) || !strings.Contains(text, `"name":"status","type":["null","long","string"]`) {
		t.Errorf("the last version is not what both have: %.2000s", text)
	}
	w.stop(t)
}

// trimming gives a topic less room than some rows need. With
// record.oversize=trim all go out, and those that are cut say so.
func (p *parts) trimming(t *testing.T) {
	const rows, room = 200, 4000 // which a row without its texts never needs
	tenant := p.tenant(t, "trim", "--rows", fmt.Sprint(rows), "--changes-per-second", "0")
	w := p.worker(t, tenant, map[string]string{"coupa.objects": "suppliers", "record.oversize": "trim"})
	topic, limit, long := w.topicNames()[0], fmt.Sprint(room), strings.Repeat("long ", 2*room/5)
	adm := p.admin(t)
	if _, err := adm.CreateTopic(t.Context(), 2, 1, map[string]*string{"max.message.bytes": &limit}, topic); err != nil {
		t.Fatal(err)
	}
	ids := tenant.ids(t, "suppliers")
	for id := range ids {
		if id%3 == 0 {
			tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/suppliers/%d/members/name", id), json.RawMessage(`"`+long+`"`), nil)
		}
	}
	w.start()
	if err := atRest(t.Context(), adm, []string{topic}, 5*time.Second, 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	w.alive(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for left := len(ids); left > 0; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			_, id, err := schemas.ParseKey(r.Key)
			if err != nil || !ids[id] {
				t.Errorf("id %d came twice, or is none (%v)", id, err)
			}
			delete(ids, id)
			cut := ""
			for _, h := range r.Headers {
				if h.Key == "coupa.trimmed" {
					cut = string(h.Value)
				}
			}
			if (id%3 == 0) != strings.Contains(cut, `"path":"name","bytes":`+fmt.Sprint(len(long))) {
				t.Errorf("id %d: trimmed: %q", id, cut)
			}
		})
	}
	w.stop(t)
}
