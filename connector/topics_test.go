package connector

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/replay"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// admin changes topics behind the workers' back.
func (h *harness) admin(do func(*kadm.Client) error) {
	h.t.Helper()
	cl, err := kgo.NewClient(h.kafka()...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	if err := do(kadm.NewClient(cl)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) setPartitions(n int, topics ...string) {
	h.t.Helper()
	h.admin(func(adm *kadm.Client) error {
		answers, err := adm.UpdatePartitions(h.t.Context(), n, topics...)
		if err != nil {
			return err
		}
		return answers.Error()
	})
}

func (h *harness) deleteTopic(topic string) {
	h.t.Helper()
	h.admin(func(adm *kadm.Client) error {
		_, err := adm.DeleteTopic(h.t.Context(), topic)
		return err
	})
}

func (h *harness) createTopic(topic string, partitions int32) {
	h.t.Helper()
	h.admin(func(adm *kadm.Client) error {
		_, err := adm.CreateTopic(h.t.Context(), partitions, 1, nil, topic)
		return err
	})
}

func (h *harness) updateAll(object string) {
	for _, row := range h.tenant.Rows(object) {
		h.tenant.Update(object, row.ID)
	}
}

// partitions are those in which records of a topic are.
func (h *harness) partitionsOf(topic string) map[int32]bool {
	h.t.Helper()
	in := map[int32]bool{}
	h.each(topic, func(r *kgo.Record) { in[r.Partition] = true })
	return in
}

// noticesOf are those of the first connector's first task, each with its remedy.
func noticesOf(r *running) string {
	var all []string
	for _, n := range r.Connectors()[0].Tasks[0].Notices {
		all = append(all, n.Message+"; "+n.Remedy)
	}
	return strings.Join(all, "\n")
}

func TestPartitionsThatAreAddedMoveNoId(t *testing.T) {
	longRaced(t)
	for _, where := range []string{config.LinesEmbedded, config.LinesTopics} {
		t.Run(where, func(t *testing.T) {
			simulate(t, invoices(201, 60), func(h *harness) {
				h.keys["lines"] = where
				r := h.start()
				h.settle()
				topics := []string{"coupa.invoices"}
				if where == config.LinesTopics {
					topics = append(topics, lineTopic)
				}
				h.setPartitions(12, topics...)
				h.pass(6 * time.Minute) // the client's metadata is old by then
				h.updateAll("invoices")
				h.settle()
				h.check("invoices")
				for _, topic := range topics {
					if said := noticesOf(r); !strings.Contains(said, "topic "+topic+" has 12 partitions now; ids stay in the 3") || !strings.Contains(said, "name another topic") {
						t.Errorf("%s: the notices are %q", topic, said)
					}
				}
				if s := r.Connectors()[0].Tasks[0]; s.Condition == status.Incomplete || s.State != status.Running {
					t.Errorf("%s %s", s.State, s.Condition)
				}
				h.stop()
				h.state = t.TempDir()
				h.start()
				h.pass(time.Minute)
				h.updateAll("invoices")
				h.tenant.Create("invoices")
				h.settle()
				h.check("invoices")
				for _, topic := range topics {
					for p := range h.partitionsOf(topic) {
						if p >= 3 {
							t.Errorf("%s: records in partition %d", topic, p)
						}
					}
				}
			})
		})
	}
}

// The brokers give no way to it, so the position is made to say that there were more.
func TestATopicWithFewerPartitionsThanItsIdsAreSpreadOverStopsItsObjectAlone(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 204, Rows: 60}, func(h *harness) {
		h.start()
		h.settle()
		h.stop()
		st := checkpoint.Stream{Tenant: "acme", Object: "invoices"}
		claim := func(partitions int32) {
			t.Helper()
			h.moveOn(st, func(p *checkpoint.Position) { p.Topics[0].Partitions = partitions })
		}
		claim(9)
		r := h.start()
		h.tenant.Update("invoices", 5)
		h.tenant.Update("suppliers", 5)
		h.settle()
		s := r.Connectors()[0].Tasks
		if s[0].State != status.Failed || !strings.Contains(s[0].Trace, "has 3 partitions, and the ids in it are spread over 9") || len(s[0].Errors) == 0 || s[0].Errors[0].Remedy == "" {
			t.Errorf("invoices: %s %q %+v", s[0].State, s[0].Trace, s[0].Errors)
		}
		if s[1].State != status.Running {
			t.Errorf("suppliers: %s %q", s[1].State, s[1].Trace)
		}
		h.check("suppliers")
		h.setPartitions(9, "coupa.invoices")
		h.pass(20 * time.Minute)
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running {
			t.Errorf("the partitions are there, and still %s %q", s.State, s.Trace)
		}
	})
}

// moveOn commits a change of a position, as a worker would that owned the shard.
func (h *harness) moveOn(st checkpoint.Stream, change func(*checkpoint.Position)) {
	h.t.Helper()
	const topic = "coupastream-checkpoints"
	positions, err := checkpoint.ReadPositions(h.t.Context(), h.kafka(), topic, st.Tenant)
	if err != nil {
		h.t.Fatal(err)
	}
	c := checkpoint.Commit{Stream: st, Position: positions[st].Clone(), Retention: time.Hour}
	c.Position.Seq++
	change(&c.Position)
	records, err := c.Records(topic, checkpoint.PartitionOf(st.Tenant, h.partitions()))
	if err != nil {
		h.t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(h.kafka(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(h.t.Context(), records...).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
}

func TestDeadLettersGoWhereTheirRowsAreAlsoWhenPartitionsWereAdded(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 202, Rows: 60, Objects: []string{"invoices"}}, func(h *harness) {
		h.start()
		h.settle()
		h.keys["schema.conflict"], h.keys["errors.deadletterqueue.topic.name"] = "deadletter", "coupa.dead"
		h.stop()
		h.setPartitions(12, "coupa.invoices")
		h.refuses()
		h.start()
		h.pass(10 * time.Second)
		h.updateAll("invoices")
		h.settle()
		if n := len(h.records("coupa.dead")); n != 60 {
			t.Fatalf("%d dead letters, want all rows", n)
		}
		h.accepts()
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 60})
		if in := h.partitionsOf("coupa.invoices"); len(in) != 3 {
			t.Errorf("records are in partitions %v", in)
		}
		h.pass(3 * time.Minute)
		h.check("invoices")
	})
}

func TestATopicThatIsMadeAgainIsNoticedUntilItsRowsAreThere(t *testing.T) {
	longRaced(t)
	for name, c := range map[string]struct {
		gone       func(*harness)
		partitions int32
		acts       func(*harness, *running)
	}{
		"made by hand with other partitions, then a snapshot": {
			func(h *harness) {
				h.deleteTopic("coupa.invoices")
				h.createTopic("coupa.invoices", 7)
			}, 7,
			func(h *harness, r *running) { h.snapshot(r, status.SnapshotRequest{}) },
		},
		"made by itself, then the position is reset": {
			func(h *harness) { h.deleteTopic("coupa.invoices") }, 3,
			func(h *harness, r *running) {
				if err := r.MoveOffsets(h.t.Context(), "acme", []status.Offset{{Tenant: "acme", Object: "invoices", Reset: true}}, status.Asker{}); err != nil {
					h.t.Error(err)
				}
			},
		},
		"while no worker runs": {
			func(h *harness) {
				h.stop()
				h.deleteTopic("coupa.invoices")
				h.createTopic("coupa.invoices", 2)
				h.start()
			}, 2,
			func(h *harness, _ *running) { h.snapshot(h.running, status.SnapshotRequest{}) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, invoices(203, 60), func(h *harness) {
				h.start()
				h.settle()
				h.pass(2 * time.Minute) // all that is there lies before the mark
				c.gone(h)
				h.pass(5 * time.Minute)
				r := h.running
				lacks := func(when string) {
					t.Helper()
					s := r.Connectors()[0].Tasks[0]
					if s.Condition != status.Incomplete || s.State != status.Running {
						t.Errorf("%s: %s %s %q, want INCOMPLETE", when, s.State, s.Condition, s.Trace)
					}
					if said := noticesOf(r); !strings.Contains(said, "coupa.invoices was deleted and made again") || !strings.Contains(said, "snapshot start") || !strings.Contains(said, "verify --repair") {
						t.Errorf("%s: the notices are %q", when, said)
					}
				}
				lacks("nothing changes")
				h.tenant.Update("invoices", 5)
				h.pass(time.Minute)
				lacks("one row was published")
				h.snapshot(r, status.SnapshotRequest{IDs: []int64{3}})
				h.pass(time.Minute)
				lacks("a snapshot of one row")
				h.stop()
				h.state = t.TempDir()
				r = h.start()
				h.settle()
				lacks("another start")
				c.acts(h, r)
				h.pass(3 * time.Minute)
				if s := r.Connectors()[0].Tasks[0]; s.Condition == status.Incomplete || len(s.Notices) > 0 {
					t.Errorf("all was published once more, and still %s %q", s.Condition, noticesOf(r))
				}
				ids := map[int64]bool{}
				for _, rec := range h.records("coupa.invoices") {
					ids[rec.id] = true
				}
				if len(ids) != 60 {
					t.Errorf("%d rows are in the topic, want 60", len(ids))
				}
				if in := h.partitionsOf("coupa.invoices"); len(in) != int(c.partitions) {
					t.Errorf("ids are in partitions %v, want all %d", in, c.partitions)
				}
				h.updateAll("invoices")
				h.settle()
				places := map[int64]int32{}
				for _, rec := range h.records("coupa.invoices") {
					if at, seen := places[rec.id]; seen && at != rec.partition {
						t.Errorf("id %d is in partitions %d and %d", rec.id, at, rec.partition)
					}
					places[rec.id] = rec.partition
				}
			})
		})
	}
}

// The client that is told to forget a topic takes the next one of that name. Streams of the shard
// that did not fail may not go on there by the number of partitions that the former one had.
func TestATopicOfSeveralTenantsThatIsMadeAgainHasEachIdInOnePartition(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 205, Rows: 40}, func(h *harness) {
		h.shared = true
		other := h.tenantIn(checkpoint.PartitionOf("acme", h.partitions()), coupatest.Config{Seed: 206, Rows: 40})
		r := h.start()
		h.settle()
		h.deleteTopic("coupa.invoices")
		h.createTopic("coupa.invoices", 7)
		h.tenant.Update("invoices", 5)
		for _, after := range []time.Duration{3 * time.Second, 3 * time.Minute} {
			h.pass(after)
			for _, row := range h.others[other].Rows("invoices")[:8] {
				h.others[other].Update("invoices", row.ID)
			}
		}
		h.settle()
		in := map[string]int32{}
		h.each("coupa.invoices", func(rec *kgo.Record) {
			if at, seen := in[string(rec.Key)]; seen && at != rec.Partition {
				t.Errorf("key %x is in partitions %d and %d", rec.Key, at, rec.Partition)
			}
			in[string(rec.Key)] = rec.Partition
		})
		if len(in) < 9 {
			t.Errorf("%d ids were published, want 9", len(in))
		}
		for _, c := range r.Connectors() {
			if s := c.Tasks[0]; s.Condition != status.Incomplete {
				t.Errorf("%s: %s %s %q", c.Name, s.State, s.Condition, s.Trace)
			}
		}
	})
}
