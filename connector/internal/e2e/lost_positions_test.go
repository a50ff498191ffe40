//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// lostPositions takes the positions away while the worker is down: the checkpoint topic is deleted, then its
// records are. By default the worker says so and publishes nothing; with checkpoint.lost = local nothing is
// lost or published twice, of which the judge is asked; and with anew every row comes once more.
func (p *parts) lostPositions(t *testing.T) {
	begun, adm := time.Now(), p.admin(t)
	tenant := p.tenant(t, "lost-positions", "--objects", "invoices,users", "--rows", "300", "--changes-per-second", "10")
	w := p.worker(t, tenant, map[string]string{"coupa.objects": "invoices,users"})
	checkpoints := tenant.name + "-checkpoints"
	deleted := func() {
		_, err := adm.DeleteTopic(t.Context(), checkpoints)
		if err == nil {
			err = await(t.Context(), "the topic to go", time.Minute, func() error {
				topics, err := adm.ListTopics(t.Context(), checkpoints)
				if err == nil && topics.Has(checkpoints) && topics[checkpoints].Err == nil {
					err = fmt.Errorf("%s is there", checkpoints)
				}
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// the broker deletes no records of a topic that is compacted alone
	purged := func() {
		policy := func(value string) error {
			_, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &value}}, checkpoints)
			return err
		}
		first := policy("delete")
		ends, err := adm.ListEndOffsets(t.Context(), checkpoints)
		if err == nil {
			_, err = adm.DeleteRecords(t.Context(), ends.Offsets())
		}
		if err := errors.Join(first, err, policy("compact")); err != nil {
			t.Fatal(err)
		}
	}
	// goesOn waits until every topic has got records
	goesOn := func(before map[string]int64) {
		t.Helper()
		if err := await(t.Context(), "records", time.Minute, func() error {
			w.alive(t)
			after, err := endOffsets(t.Context(), adm, w.topicNames())
			for topic, end := range after {
				if end <= before[topic] {
					err = fmt.Errorf("%s ends at %d", topic, end)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	rests := func() map[string]int64 {
		t.Helper()
		tenant.pause(t)
		if err := atRest(t.Context(), adm, w.topicNames(), 2*time.Second, time.Minute); err != nil {
			t.Fatal(err)
		}
		ends, err := endOffsets(t.Context(), adm, w.topicNames())
		if err != nil {
			t.Fatal(err)
		}
		return ends
	}
	with := func(lost string) {
		w.set(t, "checkpoint.lost", lost)
		tenant.resume(t)
		w.start()
	}

	w.start()
	goesOn(nil)
	rests()
	tenant.resume(t)
	for _, lose := range usually([]func(){deleted, purged}, []func(){deleted}) {
		elapse(t, time.Second)
		w.stop(t)
		before, err := endOffsets(t.Context(), adm, w.topicNames())
		if err != nil {
			t.Fatal(err)
		}
		lose()
		with("fail")
		if err := await(t.Context(), "the word that positions are lost", time.Minute, func() error {
			w.alive(t)
			tasks, err := tasksOf(w.listener, tenant.name)
			if err == nil && len(failed(tasks, "set checkpoint.lost of the workers to local")) != len(w.objects) {
				err = fmt.Errorf("%+v", tasks)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if after := rests(); !maps.Equal(before, after) {
			t.Errorf("the topics ended at %v, and do at %v", before, after)
		}
		w.stop(t)
		with("local")
		goesOn(before)
	}
	w.mustHold(t, begun)
	w.stop(t)
	if testing.Short() {
		return
	}

	before := map[string]int{}
	for object, topic := range w.topics() {
		before[object] = len(p.committed(t, topic))
	}
	deleted()
	w.set(t, "checkpoint.lost", "anew")
	w.start()
	for object, topic := range w.topics() {
		rows := len(tenant.ids(t, object))
		if err := await(t.Context(), "every row once more", time.Minute, func() error {
			w.alive(t)
			if n := len(p.committed(t, topic)) - before[object]; n < rows {
				return fmt.Errorf("%s: %d of %d", topic, n, rows)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	rests()
	for object, topic := range w.topics() {
		if n, rows := len(p.committed(t, topic))-before[object], len(tenant.ids(t, object)); n != rows {
			t.Errorf("%s: %d records once more, of %d rows", topic, n, rows)
		}
	}
	w.stop(t)
}
