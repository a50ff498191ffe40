package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
)

// Bounds of sending.
const (
	queued   = 256 // events that wait for one address
	attempts = 12  // with the pauses between them about an hour
)

// pauses lie between attempts.
var pauses = clock.Backoff{Base: 2 * time.Second, Max: 20 * time.Minute}

// Config is what a Notifier is made of.
type Config struct {
	// Client POSTs webhooks whose address the operator gave, and Foreign the others: it is to keep them
	// from what is reachable from here alone. Neither is to follow redirects; a Notifier sees to that.
	Client, Foreign *http.Client
	// Produce writes an event to a topic. It must not wait, and calls
	// done when that went well or did not. Nil: there are no topics.
	Produce func(topic string, key, value []byte, done func(error))
	Log     *slog.Logger
}

// Notifier sends events. Its methods may be called at any time, side by side.
type Notifier struct {
	cfg     Config
	ctx     context.Context
	stop    context.CancelFunc
	senders sync.WaitGroup

	mu     sync.Mutex
	queues map[Webhook]chan Event
	ended  bool // nothing is taken any more
}

// New makes a Notifier, which works until Close.
func New(cfg Config) *Notifier {
	ctx, stop := context.WithCancel(context.Background())
	cfg.Client, cfg.Foreign = straight(cfg.Client), straight(cfg.Foreign)
	return &Notifier{cfg: cfg, ctx: ctx, stop: stop, queues: map[Webhook]chan Event{}}
}

// straight is a client that follows no redirect.
func straight(c *http.Client) *http.Client {
	made := *c
	made.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &made
}

// Close ends sending. What was not sent yet is dropped.
func (n *Notifier) Close() {
	n.stop()
	n.senders.Wait()
	n.cfg.Client.CloseIdleConnections()
	n.cfg.Foreign.CloseIdleConnections()
}

// Finish ends sending as Close does, after what waits was sent or ctx has ended.
func (n *Notifier) Finish(ctx context.Context) {
	n.mu.Lock()
	n.ended = true
	for _, q := range n.queues {
		close(q)
	}
	n.mu.Unlock()
	sent := make(chan struct{})
	go func() {
		n.senders.Wait()
		close(sent)
	}()
	select {
	case <-sent:
	case <-ctx.Done():
	}
	n.Close()
}

// Post has an event sent to a webhook, behind those that were given before. It never waits.
func (n *Notifier) Post(h Webhook, e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended || n.ctx.Err() != nil {
		return
	}
	q := n.queues[h]
	if q == nil {
		q = make(chan Event, queued)
		n.queues[h] = q
		n.senders.Go(func() { n.send(h, q) })
	}
	select {
	case q <- e:
	default:
		n.cfg.Log.Warn("a notification is dropped: too many wait for the webhook", "webhook", h.host(), "type", e.Type, "connector", e.Data.Connector, "waiting", queued)
	}
}

// Write has an event written to a topic. It never waits.
func (n *Notifier) Write(topic string, e Event) {
	value, err := json.Marshal(e)
	if err != nil || n.cfg.Produce == nil {
		return
	}
	n.cfg.Produce(topic, []byte(e.Data.Connector), value, func(err error) {
		if err != nil && !errors.Is(err, context.Canceled) {
			n.cfg.Log.Warn("a notification could not be written to its topic", "topic", topic, "type", e.Type, "connector", e.Data.Connector, "error", err)
		}
	})
}

// send sends what comes for one webhook, one event after the other.
func (n *Notifier) send(h Webhook, q <-chan Event) {
	client := n.cfg.Client
	if h.Foreign {
		client = n.cfg.Foreign
	}
	for {
		select {
		case e, more := <-q:
			if !more {
				return
			}
			n.deliver(client, h, e)
		case <-n.ctx.Done():
			return
		}
	}
}

// deliver repeats an event until it is taken, or can't be.
func (n *Notifier) deliver(client *http.Client, h Webhook, e Event) {
	for try := 0; n.ctx.Err() == nil; try++ {
		err := post(n.ctx, client, h, e)
		if err == nil || n.ctx.Err() != nil {
			return
		}
		var no *refusal
		var hopeless interface{ Misconfigured() bool }
		answered := errors.As(err, &no)
		if answered && !no.passes() || errors.As(err, &hopeless) || try == attempts-1 {
			n.cfg.Log.Warn("a notification could not be sent and is dropped; see notifications.webhook.url", "webhook", h.host(), "type", e.Type, "connector", e.Data.Connector, "attempts", try+1, "error", err)
			return
		}
		var after time.Duration
		if answered {
			after = min(no.retryAfter, pauses.Max)
		}
		timer := time.NewTimer(pauses.Delay(try, after))
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			timer.Stop()
			return
		}
	}
}
