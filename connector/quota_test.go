package connector

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// quota keeps producers to a rate, as brokers with producer_byte_rate do. What comes too early is to come
// again; brokers take it and mute the connection, which makes no difference to how long it takes.
type quota struct {
	mu   sync.Mutex
	rate int       // bytes of batches a second; 0: any
	free time.Time // when the next request may come
}

func (q *quota) set(rate int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rate = rate
}

func (q *quota) control(req kmsg.Request) (kmsg.Response, error, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	produce := req.(*kmsg.ProduceRequest)
	wait := time.Until(q.free)
	if q.rate == 0 || wait <= 0 {
		size := 0
		for _, topic := range produce.Topics {
			for _, p := range topic.Partitions {
				size += len(p.Records)
			}
		}
		if q.rate > 0 {
			q.free = time.Now().Add(time.Duration(size) * time.Second / time.Duration(q.rate))
		}
		return nil, nil, false
	}
	resp := produce.ResponseKind().(*kmsg.ProduceResponse)
	resp.ThrottleMillis = int32(wait.Milliseconds()) + 1
	for _, topic := range produce.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			part := kmsg.NewProduceResponseTopicPartition()
			part.Partition, part.ErrorCode, part.BaseOffset = p.Partition, kerr.NotEnoughReplicas.Code, -1
			t.Partitions = append(t.Partitions, part)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp, nil, true
}

func TestTransactionsShrinkToWhatAQuotaLetsThrough(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 171, Rows: 1500, Objects: []string{"invoices"}}, func(h *harness) {
		q := &quota{rate: 8_000}
		h.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			h.cluster.KeepControl()
			return q.control(req)
		})
		r := h.start()
		throttled := false
		for range 120 {
			h.pass(15 * time.Second)
			if task := r.Connectors()[0].Tasks[0]; task.Condition == status.Throttled {
				throttled = true
				said := slices.ContainsFunc(task.Errors, func(e status.Trouble) bool { return strings.Contains(e.Remedy, "producer_byte_rate") })
				if !strings.Contains(task.Trace, "Kafka throttles") || !said {
					t.Fatalf("%q, %+v", task.Trace, task.Errors)
				}
			}
		}
		if !throttled {
			t.Error("nobody says that Kafka throttles")
		}
		if !strings.Contains(h.log.String(), "smaller ones follow") {
			t.Error("no transaction was too large for the quota: the test shows nothing")
		}
		h.check("invoices")
		q.set(0)
		h.pass(5 * time.Minute)
		if task := r.Connectors()[0].Tasks[0]; task.Condition == status.Throttled || task.Trace != "" {
			t.Errorf("long after the quota: %s %q", task.Condition, task.Trace)
		}
	})
}

func TestWhatKafkaRefusesForGoodEndsTheWorkerWithItsRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		fault kfake.Fault
		want  []string
	}{
		"the right to write checkpoints": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "coupastream-checkpoints", Err: kerr.TopicAuthorizationFailed, Count: -1},
			[]string{"topic coupastream-checkpoints", "allow this principal READ, WRITE and DESCRIBE"},
		},
		"the right to use the transactional id": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TransactionalIDAuthorizationFailed, Count: -1},
			[]string{"transactional id coupastream-", "allow this principal WRITE and DESCRIBE"},
		},
		"transaction.version taken back": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.UnsupportedVersion, Count: -1},
			[]string{"transactional id coupastream-", "transaction.version=2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 172, Rows: 60}, func(h *harness) {
				r := h.start()
				h.settle()
				h.cluster.Fault(c.fault)
				for id := range int64(40) {
					h.tenant.Update("invoices", 1+id)
				}
				h.pass(2 * time.Minute)
				var err error
				select {
				case err = <-r.done:
					h.running = nil
				default:
				}
				if err == nil {
					t.Fatal("the worker goes on")
				}
				for _, part := range c.want {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q lacks %q", err, part)
					}
				}
				if n := strings.Count(err.Error(), c.fault.Err.Message); n > 3 {
					t.Errorf("the error says the same %d times: %.300q", n, err)
				}
			})
		})
	}
}
