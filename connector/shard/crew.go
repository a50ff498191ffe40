package shard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/status"
)

// Poller reads one stream while its shard is owned.
type Poller interface {
	// Run works until ctx ends; on return nothing of it runs any more.
	Run(ctx context.Context)
	Stream() checkpoint.Stream
	Task() *status.Task
}

// berth is the place of an attached poller.
type berth struct {
	wanted bool   // it is to run while the shard is owned
	run    *shift // nil: it does not run
}

// shift is one run of a poller.
type shift struct {
	stop context.CancelFunc
	gone chan struct{} // closed when nothing of it runs any more
}

// Attach gives the shard a connector's pollers. With run, they run
// in this ownership, if there is one, and in those that follow.
func (s *Shard) Attach(pollers []Poller, run bool) {
	s.Meter.Show()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pollers {
		s.pollers[p] = &berth{wanted: run}
		s.start(p)
	}
	select {
	case s.arrived <- struct{}{}:
	default: // one signal is enough
	}
}

// Detach takes a connector's pollers away. On return none of
// them runs, and all that they handed over is answered.
func (s *Shard) Detach(pollers []Poller) {
	s.Halt(pollers)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pollers {
		delete(s.pollers, p)
	}
}

// Resume makes attached pollers run.
func (s *Shard) Resume(pollers []Poller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pollers {
		if b := s.pollers[p]; b != nil {
			b.wanted = true
			s.start(p)
		}
	}
}

// Halt stops pollers and keeps them from running again until they are resumed, which
// must not come before it returns. On return all that they handed over is answered.
func (s *Shard) Halt(pollers []Poller) {
	var shifts []*shift
	s.mu.Lock()
	for _, p := range pollers {
		b := s.pollers[p]
		if b == nil {
			continue
		}
		if b.wanted = false; b.run != nil {
			b.run.stop()
			shifts = append(shifts, b.run)
		}
	}
	s.mu.Unlock()
	for _, sh := range shifts {
		<-sh.gone
	}
}

// start runs an attached poller if it is wanted, does not run, and the shard is owned. s.mu is held.
func (s *Shard) start(p Poller) {
	b := s.pollers[p]
	if !b.wanted || s.live == nil || b.run != nil {
		return
	}
	ctx, stop := context.WithCancel(s.live)
	sh := &shift{stop: stop, gone: make(chan struct{})}
	b.run = sh
	position := s.positions[p.Stream()]
	p.Task().Update(func(t *status.TaskStatus) { t.Committed, t.Mark = position, position.Mark })
	s.crew.Go(func() {
		defer close(sh.gone)
		defer s.over(b)
		defer stop()
		p.Run(ctx)
	})
}

func (s *Shard) over(b *berth) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.run = nil
}

// startWork begins the pollers' work in an ownership: of those that are attached, and of those that will be.
func (s *Shard) startWork(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.crew = ctx, new(sync.WaitGroup)
	for p := range s.pollers {
		s.start(p)
	}
}

// endWork lets no poller begin any more; the channel is closed when
// those that run have ended. Their context is the caller's to end.
func (s *Shard) endWork() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = nil
	gone, crew := make(chan struct{}), s.crew
	go func() {
		crew.Wait()
		close(gone)
	}()
	return gone
}

// working are the pollers that run, or would if the shard were owned.
func (s *Shard) working() []Poller {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Poller
	for p, b := range s.pollers {
		if b.wanted {
			all = append(all, p)
		}
	}
	return all
}

func (s *Shard) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pollers) == 0
}

// isOwned tells whether the shard is restored and takes submissions here.
func (s *Shard) isOwned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live != nil
}

// ErrBusy: somebody else changes the same thing at this moment; the same request may go through later.
var ErrBusy = errors.New("another change is under way")

// During runs f within this ownership, beside the pollers, until it returns
// or ctx or the ownership ends. ErrBusy if the shard is not owned now.
func (s *Shard) During(ctx context.Context, f func(context.Context) error) error {
	s.mu.Lock()
	if s.live == nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: the positions are being restored from the checkpoint topic", ErrBusy)
	}
	both, stop := context.WithCancel(s.live)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	done := make(chan error, 1)
	s.crew.Go(func() { done <- f(both) })
	live := s.live
	s.mu.Unlock()
	err := <-done
	if err != nil && live.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: the shard has left this worker, or is restored anew: %w", ErrBusy, err)
	}
	return err
}

// Restored waits for the shard to be restored here, for requests
// that come while it is. ErrBusy if that takes too long.
func (s *Shard) Restored(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for !s.isOwned() {
		if !clock.Sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%w: the positions are being restored from the checkpoint topic", ErrBusy)
		}
	}
	return nil
}

// throttled hears from the producer that brokers hold it back, and tells the shard's tasks.
type throttled struct{ shard *Shard }

// leastThrottle is how long a broker has to hold requests back for people to hear of it.
const leastThrottle = time.Second

// OnBrokerThrottle implements kgo.HookBrokerThrottle.
func (t throttled) OnBrokerThrottle(broker kgo.BrokerMetadata, by time.Duration, _ bool) {
	if by < leastThrottle {
		return
	}
	t.shard.log.Debug("a broker throttles the producer", "broker", broker.NodeID, "for", by)
	for _, p := range t.shard.working() {
		p.Task().ThrottledByKafka(by)
	}
}
