package configtopic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestWhatOneWorkerWritesEveryWorkerSees(t *testing.T) {
	simulate(t, func(h *harness) {
		a, b := h.store(), h.store()
		properties := map[string]string{"name": "acme", "html": "<&>", "text": "Bäcker\n\u2028 \"q\" \\ 🦊", "empty": ""}
		offset, err := a.create(h.t.Context(), "acme", properties)
		h.must(offset, err)
		for _, s := range []*running{a, b} {
			if err := s.WaitFor(h.t.Context(), offset); err != nil {
				t.Fatal(err)
			}
			v := s.View()
			if c := v.Connectors["acme"]; !maps.Equal(c.Properties, properties) || c.Version != offset {
				t.Errorf("%q version %d, want %q version %d", c.Properties, c.Version, properties, offset)
			}
			if v.States["acme"].State != Started {
				t.Errorf("state %q", v.States["acme"].State)
			}
		}
		if _, err := b.create(h.t.Context(), "acme", nil); !errors.Is(err, errExists) {
			t.Errorf("created twice: %v", err)
		}
		found := map[string]Verified{"users": {Rows: 7, Found: map[string]int64{"stale": 1}}}
		h.must(b.Update(h.t.Context(), func(View) ([]Change, error) {
			return []Change{PutVerified("acme", found), PutState("acme", Target{State: Stopped}), PutLevel("root", "DEBUG"), PutConnector("other", map[string]string{})}, nil
		}))
		h.must(a.Update(h.t.Context(), func(v View) ([]Change, error) {
			if v.States["acme"].State != Stopped || v.Loggers["root"].Name != "DEBUG" || v.Connectors["other"].Properties == nil || !reflect.DeepEqual(v.Verified["acme"], found) {
				return nil, fmt.Errorf("the view lacks a change: %v", v)
			}
			return []Change{DeleteConnector("acme"), DeleteLevel("root"), DeleteState("other")}, nil
		}))
		if v := a.View(); len(v.Connectors) != 1 || len(v.States) != 0 || len(v.Loggers) != 0 || len(v.Verified) != 0 {
			t.Errorf("after the deletion: %v", v)
		}
		want := []string{
			`target-state-acme {"state":"STARTED","state.v2":"STARTED"}`,
			`connector-acme {"properties":{"empty":"","html":"<&>","name":"acme","text":"Bäcker\n\u2028 \"q\" \\ 🦊"}}`,
			`verified-acme {"objects":{"users":{"at":"","until":"","rows":7,"found":{"stale":1}}}}`,
			`target-state-acme {"state":"PAUSED","state.v2":"STOPPED"}`, `logger-cluster-root {"level":"DEBUG"}`, `connector-other {"properties":{}}`,
			`connector-acme `, `target-state-acme `, `verified-acme `, `logger-cluster-root `, `target-state-other `,
		}
		for i, r := range h.records() {
			if got := fmt.Sprintf("%s %s", r.Key, r.Value); got != want[i] {
				t.Errorf("record %d is %s\n  want %s", i, got, want[i])
			}
		}
	})
}

func TestARestartReadsWhatWasThere(t *testing.T) {
	simulate(t, func(h *harness) {
		a := h.store()
		for i := range 20 {
			h.must(a.create(h.t.Context(), fmt.Sprint("c", i), map[string]string{"i": fmt.Sprint(i)}))
		}
		h.must(a.Update(h.t.Context(), func(View) ([]Change, error) { return []Change{DeleteConnector("c7")}, nil }))
		before := a.View()
		h.stop(a)
		after := h.store().View()
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("before the restart\n%v\nafter\n%v", before, after)
		}
	})
}

func TestACompactedTopicReadsTheSame(t *testing.T) {
	simulate(t, func(h *harness) {
		a := h.store()
		for i := range 30 {
			name := fmt.Sprint("c", i%4)
			h.must(a.Update(h.t.Context(), func(View) ([]Change, error) {
				if i%7 == 6 {
					return []Change{DeleteConnector(name)}, nil
				}
				return []Change{PutConnector(name, map[string]string{"i": fmt.Sprint(i)}), PutState(name, Target{State: Paused})}, nil
			}))
		}
		before, records := a.View(), len(h.records())
		h.cluster.Compact()
		if n := len(h.records()); n >= records {
			t.Fatalf("%d records, and %d before: nothing was compacted", n, records)
		}
		b := h.store()
		if after := b.View(); fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("before\n%v\nafter\n%v", before, after)
		}
		h.must(b.create(h.t.Context(), "more", nil))
		if err := a.WaitFor(h.ctx(time.Minute), b.View().Next-1); err != nil {
			t.Error(err)
		}
	})
}

func TestATopicThatCanNotServeIsRefused(t *testing.T) {
	compact, remove := "compact", "delete"
	for name, c := range map[string]struct {
		partitions int32
		policy     *string
		says       string
	}{
		"several partitions": {3, &compact, "has 3 partitions"},
		"deleted by time":    {1, &remove, "cleanup.policy is delete"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(h *harness) {
				adm := kadm.NewClient(h.client())
				if _, err := adm.CreateTopic(h.t.Context(), c.partitions, 1, map[string]*string{"cleanup.policy": c.policy}, topicName); err != nil {
					t.Fatal(err)
				}
				r := h.make()
				err := r.Run(h.t.Context())
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "config.storage.topic = "+topicName) {
					t.Errorf("Run gave %v, want %q with key and value", err, c.says)
				}
				if err := r.Ready(); !errors.Is(err, ErrNotRead) {
					t.Errorf("Ready gave %v", err)
				}
			})
		})
	}
}

func TestUnreadableRecordsAreSkippedAndForeignOnesLeftAlone(t *testing.T) {
	simulate(t, func(h *harness) {
		a := h.store()
		h.must(a.create(h.t.Context(), "acme", map[string]string{"k": "v"}))
		h.write("connector-acme", `{"properties":{"password":7}}`)
		h.write("shard-01", `{}`)
		h.write("task-acme-0", `{"properties":{}}`)
		h.write("of-the-future", "\x00")
		h.write("session-key", `{"key":"c2VjcmV0"}`)
		last := h.write("target-state-acme", `{"state":"PAUSED"}`)
		if err := a.WaitFor(h.ctx(time.Minute), last); err != nil {
			t.Fatal(err)
		}
		check := func(v View) {
			t.Helper()
			if v.Connectors["acme"].Properties["k"] != "v" || v.States["acme"].State != Paused || len(v.Unreadable) != 2 || len(v.Owners) != 0 {
				t.Errorf("%+v", v)
			}
		}
		check(a.View())
		check(h.store().View()) // it tells of both, too
		for _, key := range []string{"connector-acme", "shard-01"} {
			if n := strings.Count(h.log.String(), "key="+key); n != 2 {
				t.Errorf("%s is named %d times, want once a store", key, n)
			}
		}
		h.must(a.Update(h.t.Context(), func(View) ([]Change, error) { return []Change{PutConnector("acme", nil)}, nil }))
		if v := a.View(); v.Unreadable["connector-acme"] != "" {
			t.Errorf("mended, and still %v", v.Unreadable)
		}
	})
}

func TestBrokersThatAreAwayAreWaitedFor(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.make()
		r.net.Cut(true)
		h.run(r)
		if err := r.WaitFor(h.ctx(5*time.Minute), -1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("read without brokers: %v", err)
		}
		if err := r.Ready(); !errors.Is(err, ErrNotRead) {
			t.Errorf("Ready gave %v", err)
		}
		r.net.Cut(false)
		h.must(r.create(h.ctx(5*time.Minute), "acme", map[string]string{}))
		r.net.Cut(true)
		if _, err := r.create(h.ctx(5*time.Minute), "other", nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("written without brokers: %v", err)
		}
		if err := r.Ready(); err != nil || r.View().Connectors["acme"].Properties == nil {
			t.Errorf("the view did not stay: %v %v", err, r.View())
		}
		other := h.store()
		offset, err := other.create(h.t.Context(), "meanwhile", map[string]string{})
		h.must(offset, err)
		r.net.Cut(false)
		if err := r.WaitFor(h.ctx(5*time.Minute), offset); err != nil {
			t.Error(err)
		}
	})
}

// A follower that is cut off while a removal comes, and goes from the
// topic by compaction, reads the topic from its start, and so learns of it.
func TestAFollowerThatWasCutOffLearnsOfRemovals(t *testing.T) {
	for name, cut := range map[string]func(*harness, *running) (restore func()){
		"from the network": func(_ *harness, r *running) func() {
			r.net.Cut(true)
			return func() { r.net.Cut(false) }
		},
		"by a partition without a leader": func(h *harness, _ *running) func() {
			return h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: topicName, Err: kerr.NotLeaderForPartition, Count: -1}).Remove
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(h *harness) {
				h.retain(time.Hour)
				a, b := h.store(), h.store()
				for _, connector := range []string{"acme", "other"} {
					h.must(b.create(h.t.Context(), connector, map[string]string{}))
				}
				if err := a.WaitFor(h.ctx(time.Minute), b.View().Next-1); err != nil {
					t.Fatal(err)
				}
				restore := cut(h, a)
				time.Sleep(2 * fetchWait) // the fetch that is under way ends
				removed := h.write("connector-acme", "")
				time.Sleep(2 * time.Hour)
				last := h.write("connector-more", `{"properties":{}}`)
				h.cluster.Compact()
				restore()
				if slices.ContainsFunc(h.records(), func(r *kgo.Record) bool { return r.Offset == removed }) {
					t.Fatal("the removal is in the topic still")
				}
				if err := a.WaitFor(h.ctx(time.Hour), last); err != nil {
					t.Fatal(err)
				}
				if got := slices.Sorted(maps.Keys(a.View().Connectors)); !slices.Equal(got, []string{"more", "other"}) {
					t.Errorf("connectors %q, want more and other: acme was removed", got)
				}
			})
		})
	}
}

// Whoever hears nothing because nothing happens reads nothing again, however long that is.
func TestAFollowerOfAQuietTopicReadsOn(t *testing.T) {
	simulate(t, func(h *harness) {
		h.retain(time.Hour)
		a := h.store()
		listed := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: topicName, Count: -1, Observe: true})
		time.Sleep(5 * time.Hour)
		if n := listed.Hits(); n == 0 || n > 5*4*looks {
			t.Errorf("it asked %d times in five hours where the topic ends", n)
		}
		a.net.Cut(true)
		time.Sleep(8 * time.Minute) // of 15
		a.net.Cut(false)
		offset := h.write("connector-acme", `{"properties":{}}`)
		if err := a.WaitFor(h.ctx(time.Minute), offset); err != nil {
			t.Fatal(err)
		}
		if log := h.log.String(); strings.Contains(log, "again") {
			t.Errorf("it read the topic again: %s", log)
		}
	})
}

// A follower goes by the time for which its topic keeps removals.
func TestTheGapIsAQuarterOfWhatTheTopicKeepsRemovalsFor(t *testing.T) {
	for kept, want := range map[time.Duration]time.Duration{
		0: time.Minute, 2 * time.Minute: time.Minute, time.Hour: 15 * time.Minute, 24 * time.Hour: 6 * time.Hour, 1000 * time.Hour: 6 * time.Hour, math.MaxInt64: 6 * time.Hour,
	} {
		t.Run(kept.String(), func(t *testing.T) {
			simulate(t, func(h *harness) {
				h.retain(kept)
				if got := h.store().gap(h.t.Context(), kadm.NewClient(h.client())); got != want {
					t.Errorf("%v, want %v", got, want)
				}
			})
		})
	}
	simulate(t, func(h *harness) {
		if got := h.store().gap(h.t.Context(), kadm.NewClient(h.client())); got != 6*time.Hour {
			t.Errorf("by default %v, want 6h", got)
		}
	})
}

func TestAMissingRightToReadIsNamed(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.ListOffsets, kmsg.Fetch} {
		t.Run(key.Name(), func(t *testing.T) {
			simulate(t, func(h *harness) {
				h.stop(h.store()) // the topic is there
				h.write("connector-acme", `{"properties":{}}`)
				h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Topic: topicName, Err: kerr.TopicAuthorizationFailed, Count: -1})
				if err := h.make().Run(h.ctx(time.Hour)); err == nil || !strings.Contains(err.Error(), "allow this principal READ, WRITE, DESCRIBE and DESCRIBE_CONFIGS") {
					t.Errorf("Run gave %v", err)
				}
			})
		})
	}
}

func TestATopicWhoseBeginningIsGoneIsRead(t *testing.T) {
	simulate(t, func(h *harness) {
		a := h.store()
		h.must(a.create(h.t.Context(), "lost", nil))
		offset, err := a.create(h.t.Context(), "kept", nil)
		h.must(offset, err)
		adm := kadm.NewClient(h.client())
		remove := func(before int64) {
			t.Helper()
			if _, err := adm.DeleteRecords(h.t.Context(), kadm.Offsets{topicName: {0: {Topic: topicName, At: before}}}); err != nil {
				t.Fatal(err)
			}
		}
		remove(offset)
		if v := h.store().View(); len(v.Connectors) != 1 || v.Connectors["kept"].Version != offset {
			t.Errorf("%v", v)
		}
		remove(-1)
		b := h.store()
		if v := b.View(); len(v.Connectors) != 0 || v.Next <= offset {
			t.Errorf("%v", v)
		}
		h.must(b.create(h.t.Context(), "more", nil))
	})
}

func TestATopicThatWasDeletedIsNotFollowed(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprint("made again: ", again), func(t *testing.T) {
			simulate(t, func(h *harness) {
				r := h.store()
				h.must(r.create(h.t.Context(), "acme", map[string]string{}))
				adm := kadm.NewClient(h.client())
				if _, err := adm.DeleteTopic(h.t.Context(), topicName); err != nil {
					t.Fatal(err)
				}
				if again {
					compact := "compact"
					if _, err := adm.CreateTopic(h.t.Context(), 1, 1, map[string]*string{"cleanup.policy": &compact}, topicName); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := r.create(h.ctx(time.Minute), "other", nil); !errors.Is(err, ErrReplaced) {
					t.Errorf("written: %v", err)
				}
				<-time.After(10 * time.Minute)
				synctest.Wait()
				if err := r.Ready(); !errors.Is(err, ErrReplaced) {
					t.Errorf("Ready gave %v", err)
				}
				if len(r.View().Connectors) != 1 {
					t.Error("the connector is gone")
				}
			})
		})
	}
}
