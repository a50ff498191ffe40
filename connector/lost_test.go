package connector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

const checkpointTopic = "coupastream-checkpoints"

// losses are the ways in which Kafka loses positions.
var losses = map[string]func(*harness){
	"the topic is deleted":         func(h *harness) { h.deleteTopic(checkpointTopic) },
	"its records are deleted":      func(h *harness) { h.deletePositions(1) },
	"some of its records are gone": func(h *harness) { h.deletePositions(2) },
}

// deletePositions deletes a part of each partition's records, the oldest.
func (h *harness) deletePositions(part int64) {
	h.t.Helper()
	h.admin(func(adm *kadm.Client) error {
		ends, err := adm.ListEndOffsets(h.t.Context(), checkpointTopic)
		if err != nil {
			return err
		}
		upTo := kadm.Offsets{}
		ends.Each(func(o kadm.ListedOffset) { upTo.AddOffset(o.Topic, o.Partition, o.Offset/part, -1) })
		_, err = adm.DeleteRecords(h.t.Context(), upTo)
		return err
	})
}

// touch changes the n-th of the tenant's invoices.
func (h *harness) touch(n int) { h.tenant.Update("invoices", h.tenant.Rows("invoices")[n].ID) }

// stopped runs a worker until all is published, and stops it.
func (h *harness) stopped() {
	h.t.Helper()
	h.start()
	h.settle()
	h.touch(5)
	h.settle()
	h.stop()
}

// failedOf is the trace of the first task, which is to be FAILED.
func (h *harness) failedOf(r *running) string {
	h.t.Helper()
	s := r.Connectors()[0].Tasks[0]
	if s.State != status.Failed || len(s.Errors) == 0 || s.Errors[0].Remedy == "" {
		h.t.Errorf("%s %q %v, want FAILED with a remedy", s.State, s.Trace, s.Errors)
	}
	return s.Trace
}

func TestPositionsThatAreLostStopTheShardUntilSomebodySaysHowToGoOn(t *testing.T) {
	longRaced(t)
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 301, Rows: 12}, func(h *harness) {
				h.stopped()
				lose(h)
				before := len(h.records("coupa.invoices"))
				for _, state := range []string{h.state, t.TempDir()} {
					h.state = state
					r := h.start()
					h.touch(7)
					h.pass(2 * time.Minute)
					if why := h.failedOf(r); !strings.Contains(why, "positions are") || !strings.Contains(why, "checkpoint.lost") {
						t.Errorf("%q", why)
					}
					if n := len(h.records("coupa.invoices")); n != before {
						t.Errorf("%d records, want %d as before", n, before)
					}
					h.stop()
				}
			})
		})
	}
}

func TestPositionsThatAreLostAreWrittenBackFromTheLocalState(t *testing.T) {
	longRaced(t)
	for name, lose := range losses {
		for _, lines := range []string{config.LinesEmbedded, config.LinesTopics} {
			t.Run(name+", lines "+lines, func(t *testing.T) {
				simulate(t, invoices(302, 12), func(h *harness) {
					h.keys["lines"] = lines
					h.stopped()
					lose(h)
					h.worker["checkpoint.lost"] = "local"
					h.touch(7)
					h.start()
					h.settle()
					h.check("invoices")
					h.stop()
					h.state, h.worker["checkpoint.lost"] = t.TempDir(), "fail" // the topic has it all again
					h.touch(8)
					h.start()
					h.settle()
					h.check("invoices")
				})
			})
		}
	}
}

func TestPositionsThatAreLostBeginAnew(t *testing.T) {
	longRaced(t)
	for name, lose := range losses {
		for _, kept := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				simulate(t, invoices(303, 12), func(h *harness) {
					h.stopped()
					before := len(h.records("coupa.invoices"))
					lose(h)
					h.worker["checkpoint.lost"] = "anew"
					if !kept {
						h.state = t.TempDir()
					}
					h.start()
					h.settle()
					if n := len(h.records("coupa.invoices")); n != before+12 {
						t.Errorf("%d records, want %d and all rows once more", n, before)
					}
					h.stop()
					h.worker["checkpoint.lost"] = "fail"
					h.touch(8)
					h.start()
					h.settle()
					if n := len(h.records("coupa.invoices")); n != before+13 {
						t.Errorf("%d records, want one more", n)
					}
				})
			})
		}
	}
}

func TestALocalStateThatIsNotTheLastIsRefused(t *testing.T) {
	longRaced(t)
	for name, c := range map[string]struct {
		between func(h *harness, first, second string) // the loss and the start; first was before second
		says    string
	}{
		"one of another worker":    {func(h *harness, first, _ string) { h.state = first }, "worker-2:8083 has it"},
		"none":                     {func(h *harness, _, _ string) { h.state = h.t.TempDir() }, "no state of the shard"},
		"one behind its own topic": {func(h *harness, _, _ string) { h.publishedBehind() }, "holds records that this state does not know"},
		"one of another number of partitions": {func(h *harness, _, _ string) {
			n := int32(3)
			for checkpoint.PartitionOf("acme", n) != checkpoint.PartitionOf("acme", 2) {
				n++
			}
			h.worker["checkpoint.topic.partitions"] = fmt.Sprint(n)
		}, "and had 2"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, invoices(304, 12), func(h *harness) {
				first := h.state
				h.stopped()
				h.state = t.TempDir()
				h.stopped()
				h.deleteTopic(checkpointTopic)
				h.worker["checkpoint.lost"] = "local"
				before := len(h.records("coupa.invoices"))
				c.between(h, first, h.state)
				r := h.start()
				h.settle()
				if why := h.failedOf(r); !strings.Contains(why, c.says) {
					t.Errorf("%q, want %q", why, c.says)
				}
				h.pass(2 * time.Minute) // it is tried again
				h.stop()
				r = h.start()
				h.settle()
				if why := h.failedOf(r); !strings.Contains(why, c.says) {
					t.Errorf("the next start: %q, want %q", why, c.says)
				}
				if n := len(h.records("coupa.invoices")); n > before+1 {
					t.Errorf("%d records, want %d as before", n, before)
				}
			})
		})
	}
}

// publishedBehind writes a record of the tenant's invoices once more, as an owner would whose state is lost.
func (h *harness) publishedBehind() {
	h.t.Helper()
	var last *kgo.Record
	h.each("coupa.invoices", func(r *kgo.Record) { last = r })
	cl, err := kgo.NewClient(append(h.kafka(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	again := &kgo.Record{Topic: last.Topic, Partition: last.Partition, Key: last.Key, Value: last.Value, Headers: last.Headers}
	if err := cl.ProduceSync(h.t.Context(), again).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
}

func TestPositionsThatAreLostWhileTheWorkerRunsStopTheShard(t *testing.T) {
	longRaced(t)
	for name, lose := range map[string]func(*harness){
		"deleted": func(h *harness) { h.deleteTopic(checkpointTopic) },
		"made again by somebody": func(h *harness) {
			h.deleteTopic(checkpointTopic)
			h.createTopic(checkpointTopic, 3)
		},
		"made again with fewer partitions": func(h *harness) {
			h.deleteTopic(checkpointTopic)
			h.createTopic(checkpointTopic, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 305, Rows: 12}, func(h *harness) {
				n := int32(2)
				for checkpoint.PartitionOf("acme", n) == 0 { // that one is there in each of them
					n++
				}
				h.worker["checkpoint.topic.partitions"] = fmt.Sprint(n)
				r := h.start()
				h.settle()
				lose(h)
				h.pass(7 * time.Minute) // nothing changes, and it is noticed all the same
				if why := h.failedOf(r); !strings.Contains(why, "was deleted while this worker runs") {
					t.Errorf("%q", why)
				}
			})
		})
	}
}

// killed runs a worker that dies at the nth commit of its shard, or at the first one to the config topic
// behind that: before Kafka has applied it, or after.
func (h *harness) killed(n int, claim, applied bool) {
	h.t.Helper()
	shard, commits, died := h.transactionalID("acme"), 0, make(chan struct{})
	fault := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.CoordinatorNotAvailable, Count: -1, When: func(r kmsg.Request) bool {
		ofShard := r.(*kmsg.EndTxnRequest).TransactionalID == shard
		if ofShard {
			commits++
		}
		select {
		case <-died:
			return true
		default:
		}
		if commits != n || ofShard == claim {
			return false
		}
		h.net.Cut(true)
		close(died)
		return !applied
	}})
	r := h.start()
	select {
	case <-died:
	case <-time.After(10 * time.Minute):
		h.t.Fatalf("the worker lives: %d commits of the shard", commits)
	}
	r.cancel()
	<-r.done
	h.running = nil
	fault.Remove()
	h.net.Cut(false)
}

// Until the claim is there, positions that are made up for are lost still, wherever the worker dies.
func TestPositionsAreLostUntilTheyAreClaimed(t *testing.T) {
	longRaced(t)
	for _, c := range []struct{ loss, lost string }{
		{"the topic is deleted", "local"}, {"some of its records are gone", "local"}, {"the topic is deleted", "anew"}, {"some of its records are gone", "anew"},
	} {
		t.Run(c.loss+", "+c.lost, func(t *testing.T) {
			simulate(t, invoices(306, 8), func(h *harness) {
				h.worker["group.instance.id"] = "worker-1"
				h.stopped()
				commits := 3 // fence, anchor, what is written
				if c.lost == "anew" && c.loss == "the topic is deleted" {
					commits = 2 // nothing is there to be taken out
				}
				for n := 1; n <= commits+1; n++ {
					for _, applied := range []bool{false, true} {
						if n == 1 && !applied || n == commits+1 && applied {
							losses[c.loss](h) // for the first time, and once more while it is lost
						}
						h.touch(n % 4)
						before := len(h.records("coupa.invoices"))
						h.worker["checkpoint.lost"] = c.lost
						if n <= commits {
							h.killed(n, false, applied)
						} else if c.lost == "anew" {
							h.killed(2, true, applied) // what was there is taken out
						} else {
							h.killed(commits, true, applied)
						}
						h.worker["checkpoint.lost"] = "fail"
						r := h.start()
						h.settle()
						if claimed := n > commits && applied; claimed == (r.Connectors()[0].Tasks[0].State == status.Failed) {
							t.Errorf("died at commit %d, applied %v: %+v", n, applied, r.Connectors()[0].Tasks[0])
						}
						if got, want := len(h.records("coupa.invoices")), before; (n <= commits || !applied) && got != want {
							t.Errorf("died at commit %d, applied %v: %d records, want %d as before", n, applied, got, want)
						} else if n > commits && applied && c.lost == "anew" && got != want+8 {
							t.Errorf("%d records, want %d and all rows once more", got, want)
						}
						h.stop()
					}
				}
				if c.lost == "local" {
					h.state = t.TempDir()
					h.start()
					h.settle()
					h.check("invoices")
				}
			})
		})
	}
}

// An owner without a claim writes all that positions need behind an anchor, wherever one before it died.
func TestWhatIsBeforeAnAnchorIsNotNeeded(t *testing.T) {
	longRaced(t)
	simulate(t, invoices(308, 8), func(h *harness) {
		h.worker["group.instance.id"] = "worker-1"
		h.stopped()
		h.deleteTopic("coupastream-configs")
		for n := 1; n <= 5; n++ { // fence, anchor, what was restored, fence, claim
			for _, applied := range []bool{false, true} {
				h.touch(n % 4)
				h.state = t.TempDir()
				h.killed(min(n, 4), n > 4, applied)
			}
		}
		r := h.start()
		h.settle()
		begin := r.store.View().Claims[checkpoint.PartitionOf("acme", h.partitions())].Begin
		h.stop()
		for _, lost := range []bool{false, true} {
			h.admin(func(adm *kadm.Client) error {
				upTo := kadm.Offsets{}
				if lost {
					begin++
				}
				upTo.AddOffset(checkpointTopic, checkpoint.PartitionOf("acme", h.partitions()), begin, -1)
				_, err := adm.DeleteRecords(h.t.Context(), upTo)
				return err
			})
			h.state = t.TempDir()
			h.touch(1)
			r = h.start()
			h.settle()
			if !lost {
				h.check("invoices")
			} else if why := h.failedOf(r); !strings.Contains(why, "has lost the records") {
				t.Errorf("%q", why)
			}
			h.stop()
		}
	})
}

// TestTheClaimOnPositionsFailsBothWays fails the commit of what is written to the config topic.
func TestTheClaimOnPositionsFailsBothWays(t *testing.T) {
	longRaced(t)
	for _, lost := range []string{"", "local", "anew"} {
		for name, fail := range map[string]func(*harness){
			"not applied": func(h *harness) {
				h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.CoordinatorNotAvailable, Count: 3})
			},
			"applied, answer lost": func(h *harness) { h.net.Lose(kmsg.EndTxn, 3) },
			"refused": func(h *harness) {
				h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState, Count: 2})
			},
		} {
			t.Run(lost+" "+name, func(t *testing.T) {
				simulate(t, invoices(309, 12), func(h *harness) {
					before := 0
					if lost != "" {
						h.stopped()
						h.deleteTopic(checkpointTopic)
						h.worker["checkpoint.lost"] = lost
						before = len(h.records("coupa.invoices"))
					}
					fail(h)
					r := h.start()
					h.pass(3 * time.Minute)
					claim, ok := r.store.View().Claims[checkpoint.PartitionOf("acme", h.partitions())]
					if !ok || claim.WorkerID != r.cfg.Self.WorkerID || claim.TopicID != r.checkpointID {
						t.Errorf("the claim is %+v", claim)
					}
					switch n := len(h.records("coupa.invoices")); lost {
					case "anew":
						if n != before+12 {
							t.Errorf("%d records, want %d and all rows once", n, before)
						}
					default:
						h.check("invoices")
					}
				})
			})
		}
	}
}

// A worker whose copy of the config topic is behind does not make up for what another one has made up for.
func TestALossThatAnotherWorkerHasMadeUpForIsLeftAlone(t *testing.T) {
	longRaced(t)
	simulate(t, invoices(310, 12), func(h *harness) {
		h.stopped()
		h.deletePositions(2)
		h.worker["checkpoint.lost"] = "anew"
		fencing, claimed := make(chan struct{}), make(chan struct{})
		shard := h.transactionalID("acme")
		h.cluster.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
			if r.(*kmsg.EndTxnRequest).TransactionalID != shard {
				return nil, nil, false
			}
			h.cluster.DropControl()
			h.cluster.SleepControl(func() { close(fencing); <-claimed })
			return nil, nil, false
		})
		r := h.start()
		<-fencing
		n := checkpoint.PartitionOf("acme", h.partitions())
		claim := r.store.View().Claims[n]
		claim.WorkerID, claim.Begin = "another", claim.Begin+1000
		if err := r.store.SetClaim(h.t.Context(), n, claim); err != nil {
			t.Error(err)
		}
		close(claimed)
		h.settle()
		h.check("invoices")
		if !strings.Contains(h.log.String(), "another worker has claimed") {
			t.Error("it was not noticed")
		}
	})
}

func TestAnotherCleanupPolicyOfTheCheckpointTopicIsToldWhileItIsSo(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 307, Rows: 12}, func(h *harness) {
		r := h.start()
		h.settle()
		set := func(policy string) {
			h.admin(func(adm *kadm.Client) error {
				_, err := adm.AlterTopicConfigs(h.t.Context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &policy}}, checkpointTopic)
				return err
			})
			h.pass(6 * time.Minute)
		}
		set("delete")
		if said := noticesOf(r); !strings.Contains(said, "cleanup.policy=delete") || !strings.Contains(said, "set it to compact") {
			t.Errorf("the notices are %q", said)
		}
		set("compact")
		if said := noticesOf(r); said != "" {
			t.Errorf("the notices are %q", said)
		}
	})
}

// Partitions that somebody adds to the checkpoint topic are no shards: tenants stay where their positions
// are, over restarts too, and nothing goes out again.
func TestTenantsStayInTheirShardsWhenTheCheckpointTopicGetsMorePartitions(t *testing.T) {
	longRaced(t)
	simulate(t, invoices(305, 12), func(h *harness) {
		n := h.partitions() + 1
		for checkpoint.PartitionOf("acme", n) == checkpoint.PartitionOf("acme", h.partitions()) {
			n++
		}
		h.stopped()
		before := len(h.records("coupa.invoices"))
		h.admin(func(adm *kadm.Client) error {
			_, err := adm.UpdatePartitions(h.t.Context(), int(n), checkpointTopic)
			return err
		})
		for range 2 {
			h.start()
			h.settle()
			h.tenant.Update("invoices", 3)
			h.settle()
			h.stop()
		}
		if n := len(h.records("coupa.invoices")) - before; n != 2 {
			t.Errorf("%d records more, want those of two changes", n)
		}
		if !strings.Contains(h.log.String(), "the checkpoint topic has got more partitions") {
			t.Error("nothing of it in the log")
		}
	})
}
