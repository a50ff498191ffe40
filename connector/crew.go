package connector

import (
	"context"
	"fmt"
	"sync"
)

// shift is one run of a poller.
type shift struct {
	stop context.CancelFunc
	gone chan struct{} // closed when nothing of it runs any more
}

// attach gives the shard a connector's pollers. Those that are to run
// do so in this ownership, if there is one, and in those that follow.
func (s *shard) attach(m *managed, run bool) {
	s.meter.show()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range m.pollers {
		s.pollers[p] = nil
		p.wanted = run
		s.start(p)
	}
	select {
	case s.arrived <- struct{}{}:
	default: // one signal is enough
	}
}

// detach takes a connector's pollers away. On return none of
// them runs, and all that they handed over is answered.
func (s *shard) detach(m *managed) {
	s.halt(m.pollers)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range m.pollers {
		delete(s.pollers, p)
	}
}

// resume makes attached pollers run.
func (s *shard) resume(pollers []*poller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pollers {
		if _, attached := s.pollers[p]; attached {
			p.wanted = true
			s.start(p)
		}
	}
}

// halt stops pollers and keeps them from running again until they are resumed, which
// must not come before it returns. On return all that they handed over is answered.
func (s *shard) halt(pollers []*poller) {
	var shifts []*shift
	s.mu.Lock()
	for _, p := range pollers {
		p.wanted = false
		if sh := s.pollers[p]; sh != nil {
			sh.stop()
			shifts = append(shifts, sh)
		}
	}
	s.mu.Unlock()
	for _, sh := range shifts {
		<-sh.gone
	}
}

// start runs a poller if it is wanted, does not run, and the shard is owned. s.mu is held.
func (s *shard) start(p *poller) {
	if !p.wanted || s.live == nil || s.pollers[p] != nil {
		return
	}
	ctx, stop := context.WithCancel(s.live)
	sh := &shift{stop: stop, gone: make(chan struct{})}
	s.pollers[p] = sh
	position := s.positions[p.stream]
	p.task.update(func(t *TaskStatus) { t.Committed, t.Mark = position, position.Mark })
	s.crew.Go(func() {
		defer close(sh.gone)
		defer s.over(p, sh)
		defer stop()
		p.Run(ctx)
	})
}

func (s *shard) over(p *poller, sh *shift) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pollers[p] == sh {
		s.pollers[p] = nil
	}
}

// startWork begins the pollers' work in an ownership: of those that are attached, and of those that will be.
func (s *shard) startWork(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.crew = ctx, new(sync.WaitGroup)
	for p := range s.pollers {
		s.start(p)
	}
}

// endWork lets no poller begin any more; the channel is closed when
// those that run have ended. Their context is the caller's to end.
func (s *shard) endWork() <-chan struct{} {
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
func (s *shard) working() []*poller {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*poller
	for p := range s.pollers {
		if p.wanted {
			all = append(all, p)
		}
	}
	return all
}

func (s *shard) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pollers) == 0
}

// isOwned tells whether the shard is restored and takes submissions here.
func (s *shard) isOwned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live != nil
}

// during runs f within this ownership, beside the pollers, until it returns
// or ctx or the ownership ends. ErrBusy if the shard is not owned now.
func (s *shard) during(ctx context.Context, f func(context.Context) error) error {
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
