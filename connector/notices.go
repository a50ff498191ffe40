package connector

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/notify"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// notices tells others what happens to the connectors that this worker runs, by webhooks and in topics. Its
// goroutine is that of Worker.observe, but for write.
//
// Notifications are made of what the status says every ten seconds, not where things happen. So they can't
// hold anything up, they tell of what is so and not of what was tried, and a trouble that comes and goes is
// one. They are kept in memory alone: the metrics are for alerts that must not be lost.
type notices struct {
	w        *Worker
	watch    notify.Watch
	notifier *notify.Notifier
	records  chan notice
	writing  sync.WaitGroup // events that are in records or being written
}

// notice is an event on its way to a topic.
type notice struct {
	topic      string
	key, value []byte
	done       func(error)
}

const (
	// noticesWaiting is how many events wait for Kafka, and noticeTimeout how long one may take.
	noticesWaiting = 256
	noticeTimeout  = 30 * time.Second
)

var errTooMany = errors.New("too many notifications wait for Kafka")

func newNotices(w *Worker) *notices {
	n := &notices{w: w, records: make(chan notice, noticesWaiting)}
	own, foreign := w.cfg.Webhooks, w.cfg.Webhooks
	if own == nil {
		own = &http.Client{Transport: coupa.NewTransport()}
		foreign = &http.Client{Transport: w.settings.Egress().Transport(coupa.NewTransport())}
	}
	n.notifier = notify.New(notify.Config{Client: own, Foreign: foreign, Produce: n.produce, Log: w.log})
	return n
}

// look tells what has happened since the last look.
func (n *notices) look(now time.Time) {
	var all []notify.Connector
	settings := map[string]*config.Connector{}
	for _, m := range n.w.all() {
		c := m.known()
		if c == nil || !n.tells(c) {
			continue
		}
		if s := n.w.status(m); s.Owner.Local {
			all, settings[s.Name] = append(all, noticed(s, now)), c
		}
	}
	for _, e := range n.watch.Look(now, all) {
		n.tell(settings[e.Data.Connector], e)
	}
}

// tells tells whether anybody is to hear of the connector's events.
func (n *notices) tells(c *config.Connector) bool {
	to := c.Notifications.Over(n.w.settings.Notifications)
	return to.WebhookURL != "" || to.Topic != ""
}

// farewellTime is how long a worker that ends at its start waits for those that it notifies of that.
const farewellTime = 10 * time.Second

// farewell tells why nothing can start, before the worker ends: whoever is notified of troubles
// would hear nothing of one that is there from the start.
func (w *Worker) farewell(ctx context.Context, all []*prepared) {
	n, now := newNotices(w), time.Now()
	var is []notify.Connector
	settings := map[string]*config.Connector{}
	for _, one := range all {
		c := notify.Connector{Name: one.name, Tenant: one.c.Tenant}
		if one.token != nil {
			c.TokenTrouble = one.token.Error()
		}
		for i, err := range one.objects {
			if err != nil {
				trouble := status.TroubleOf(err, now)
				c.Objects = append(c.Objects, notify.Object{Name: one.c.Objects[i].Path, Failed: true, Message: trouble.Message, Remedy: trouble.Remedy})
			}
		}
		is, settings[one.name] = append(is, c), one.c
	}
	for _, e := range n.watch.Look(now, is) {
		n.tell(settings[e.Data.Connector], e)
	}
	ctx, cancel := context.WithTimeout(ctx, farewellTime)
	defer cancel()
	var writer sync.WaitGroup
	writer.Go(func() { n.write(ctx) })
	n.notifier.Finish(ctx)
	written := make(chan struct{})
	go func() {
		n.writing.Wait()
		close(written)
	}()
	select {
	case <-written:
	case <-ctx.Done():
	}
	cancel()
	writer.Wait()
}

// tell sends an event where the connector's keys, or else the worker's, have it sent.
func (n *notices) tell(c *config.Connector, e notify.Event) {
	to := c.Notifications.Over(n.w.settings.Notifications)
	if !to.Wants(e.Kind()) {
		return
	}
	if to.WebhookURL != "" {
		foreign := c.Submitted && c.Notifications.WebhookURL != ""
		n.notifier.Post(notify.Webhook{URL: to.WebhookURL, Secret: to.WebhookSecret, Foreign: foreign}, e)
	}
	if to.Topic != "" {
		n.notifier.Write(to.Topic, e)
	}
}

// noticed is what notifications go by, of a connector's status.
func noticed(s status.ConnectorStatus, now time.Time) notify.Connector {
	c := notify.Connector{
		Name: s.Name, Tenant: s.Tenant, TokenTrouble: s.Token.Trouble, ThrottledSince: s.Rate.ThrottledSince, Limit: s.Rate.Current, Ceiling: s.Rate.Limit,
	}
	for _, t := range s.Tasks {
		if t.State != status.Running && t.State != status.Failed {
			continue
		}
		o := notify.Object{Name: t.Object, Failed: t.State == status.Failed, Objective: t.Objective, Backfilled: t.Backfilled, Schemas: t.Schemas}
		if !t.Proven.IsZero() {
			o.Freshness = max(0, now.Sub(t.Proven))
		}
		if o.Message = s.Trace; len(t.Errors) > 0 {
			o.Message, o.Remedy = t.Errors[0].Message, t.Errors[0].Remedy
		}
		if len(t.SchemaVersions) > 0 {
			last := t.SchemaVersions[len(t.SchemaVersions)-1]
			o.Subject, o.SchemaID = last.Subject, last.ID
		}
		c.Objects = append(c.Objects, o)
	}
	return c
}

// produce hands an event to write. It never waits.
func (n *notices) produce(topic string, key, value []byte, done func(error)) {
	n.writing.Add(1)
	select {
	case n.records <- notice{topic, key, value, func(err error) {
		done(err)
		n.writing.Done()
	}}:
	default:
		done(errTooMany)
		n.writing.Done()
	}
}

// write writes events to their topics, one after the other,
// until ctx ends. Its Kafka client is made for the first one.
func (n *notices) write(ctx context.Context) {
	var client *kgo.Client
	defer func() {
		if client != nil {
			client.Close()
		}
	}()
	there := map[string]bool{}
	for {
		select {
		case r := <-n.records:
			var err error
			if client == nil {
				client, err = kgo.NewClient(append(n.w.clientOpts(), n.w.metrics.Kafka.Named("notifications"), kgo.RecordDeliveryTimeout(noticeTimeout))...)
			}
			if err == nil && !there[r.topic] {
				err = n.w.topics.Ensure(ctx, r.topic)
				there[r.topic] = err == nil
			}
			if err == nil {
				err = client.ProduceSync(ctx, &kgo.Record{Topic: r.topic, Key: r.key, Value: r.value}).FirstErr()
			}
			r.done(err)
		case <-ctx.Done():
			return
		}
	}
}
