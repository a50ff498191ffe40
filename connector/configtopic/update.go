package configtopic

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/internal/txn"
)

// versionHeader says which version of the program has written a record.
const versionHeader = "coupastream.version"

// nonceHeader marks the records of one change, so that a
// commit whose answer was lost can be told by its records.
const nonceHeader = "coupastream.nonce"

const (
	// transactionTimeout is how long the transaction of a worker that died
	// holds up those who read the topic, if nobody makes a change before.
	transactionTimeout = 10 * time.Second
	// finish is how much longer than its caller a commit that
	// was begun may go on, so that its outcome is known.
	finish = 3 * time.Second
	// courtesy is how long others may take before they are fenced, all of them together.
	courtesy = 5 * time.Second
)

// patience is how long another change may take before it is fenced, by the state of its transaction:
// Empty after its fence and before its first record, then Ongoing. It is more than a change takes,
// and not too much for one whose worker is dead. In any other state there is nothing to wait for.
var patience = map[string]time.Duration{"Empty": 250 * time.Millisecond, "Ongoing": 2 * time.Second}

// Update makes a change that depends on what is there: decide is given a view that has
// every change committed before, and what it returns is written in one transaction,
// unless any other change, by whichever worker, was committed after that view; then it
// is asked again, with a newer one. An error of decide is Update's, and nothing is
// written; nor is it if there are no changes. decide must not have effects of its own.
//
// On return without an error, the change is committed and View shows it. offset is that of its
// last record, or of the last record that decide was shown: another worker that has read up to
// there (WaitFor) shows it too. It goes on until ctx ends. Of errors, ErrNotSeen means that
// the change was made, ErrUnknownOutcome that nobody knows, and any other one that it was not.
func (s *Store) Update(ctx context.Context, decide func(View) ([]Change, error)) (offset int64, err error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return -1, fmt.Errorf("waiting for another change that this worker makes: %w", ctx.Err())
	}
	u := &update{s: s, decide: decide, nonce: rand.Text()}
	s.expect(u.nonce)
	defer s.expect("")
	for attempt := 0; ; attempt++ {
		offset, err := u.attempt(ctx)
		var no refusal
		switch {
		case err == nil, errors.Is(err, ErrNotSeen):
			return offset, err
		case errors.As(err, &no):
			return -1, no.error
		case isRefused(err), errors.Is(err, ErrReplaced):
			return -1, u.failed(err)
		}
		s.log.Debug("the change is tried again", "error", err)
		if !clock.Sleep(ctx, contended.Delay(attempt, 0)) {
			return -1, u.failed(errors.Join(ctx.Err(), err))
		}
	}
}

// How long a change waits: before it begins again when another one was in its way, before it looks
// again whether that is done; and a follower, before it reads the topic again.
var (
	contended = clock.Backoff{Base: 50 * time.Millisecond, Max: 2 * time.Second}
	behind    = clock.Backoff{Base: 20 * time.Millisecond, Max: time.Second}
	again     = clock.Backoff{Base: 200 * time.Millisecond, Max: 30 * time.Second}
)

// refusal is an error of decide.
type refusal struct{ error }

// update is one Update.
type update struct {
	s      *Store
	decide func(View) ([]Change, error)
	nonce  string
	lost   bool // the answer to a commit was lost, and the topic has not been read since
}

func (u *update) failed(err error) error {
	if u.lost {
		return fmt.Errorf("changing config.storage.topic %s: %w: %w", u.s.cfg.Topic, ErrUnknownOutcome, err)
	}
	return fmt.Errorf("changing config.storage.topic %s: the change was not made: %w", u.s.cfg.Topic, err)
}

// attempt goes through the steps once. A client is of one attempt: it takes the
// transactional id anew, which is the fence, and knows nothing of what was.
func (u *update) attempt(ctx context.Context) (offset int64, err error) {
	s := u.s
	cl, err := s.newProducer()
	if err != nil {
		return -1, err
	}
	defer cl.Close()
	// Nothing to write needs no fence, which would make others begin
	// again. While an outcome is unknown, there may be something to find.
	if !u.lost {
		if offset, records, err := u.look(ctx, cl.Client); err != nil || len(records) == 0 {
			return offset, err
		}
		s.awaitOthers(ctx, cl.Client)
	}
	// 1 fence: whoever began before can't commit any more, and what they committed is in the topic.
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return -1, fmt.Errorf("taking transactional id %s: %w", s.TransactionalID(), s.remedy(err))
	}
	if err := s.settle(ctx, cl); err != nil {
		return -1, err
	}
	// 2 read and 3 decide
	offset, records, err := u.look(ctx, cl.Client)
	if err != nil || len(records) == 0 {
		return offset, err
	}
	u.lost = false
	offset, err = u.commit(ctx, cl, id, epoch, records)
	if err != nil {
		return -1, err
	}
	// 6 wait
	return u.awaitView(ctx, offset)
}

// settle commits what Kafka has left open of a change whose transaction it holds for ended (see
// txn.Client.Settle). No view shows such a change, and the next commit would be one of both. It may be
// committed: it was decided on all that was committed before, and who has made it may know that it is.
func (s *Store) settle(ctx context.Context, cl *txn.Client) error {
	open, err := txn.OpenIn(ctx, cl.Client, s.cfg.Topic, 0)
	if err == nil {
		err = cl.Settle(ctx, s.TransactionalID(), kgo.TryCommit, open)
	}
	if err != nil {
		return fmt.Errorf("behind the fence of config.storage.topic %s: %w", s.cfg.Topic, s.remedy(err))
	}
	return nil
}

// awaitView waits until the view has the change, by its nonce: a
// record that was sent twice is acknowledged without its offset.
func (u *update) awaitView(ctx context.Context, offset int64) (int64, error) {
	for {
		_, changed := u.s.Watch()
		if landed, ok := u.s.found(); ok {
			return landed, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return offset, fmt.Errorf("%w: config.storage.topic %s could not be read up to the change in time: %w", ErrNotSeen, u.s.cfg.Topic, ctx.Err())
		}
	}
}

// awaitOthers waits while somebody else makes a change. The fence would do without, but
// whoever is fenced begins again, and where many have changes to make, they would
// keep each other from making any. What can't be found out is not waited for.
func (s *Store) awaitOthers(ctx context.Context, cl *kgo.Client) {
	adm, began := kadm.NewClient(cl), time.Now()
	var change kadm.DescribedTransaction // that is waited for
	since := began
	for time.Since(began) < courtesy {
		described, err := adm.DescribeTransactions(ctx, s.TransactionalID())
		d := described[s.TransactionalID()]
		if d.ProducerID != change.ProducerID || d.ProducerEpoch != change.ProducerEpoch {
			since = time.Now()
		}
		if change = d; err != nil || time.Since(since) >= patience[d.State] {
			return
		}
		if !clock.Sleep(ctx, 5*time.Millisecond+behind.Delay(0, 0)) {
			return
		}
	}
}

// look reads to the end of the topic and decides. Without records, there is nothing to write, and
// the offset is that of the last record, or the one of this change, if a former attempt has made it.
func (u *update) look(ctx context.Context, cl *kgo.Client) (offset int64, records []*kgo.Record, err error) {
	view, err := u.read(ctx, cl)
	if err != nil {
		return -1, nil, err
	}
	if offset, ok := u.s.found(); ok {
		return offset, nil, nil
	}
	changes, err := u.decide(view)
	if err == nil {
		records, err = u.records(changes)
	}
	if err != nil {
		return -1, nil, refusal{err}
	}
	return view.Next - 1, records, nil
}

// TransactionalID is that of changes, for those who set up rights.
func (s *Store) TransactionalID() string { return s.cfg.GroupID + "-configs" }

func (s *Store) newProducer() (*txn.Client, error) {
	return txn.New(append(append([]kgo.Opt{}, s.cfg.Kafka...),
		kgo.TransactionalID(s.TransactionalID()),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordDeliveryTimeout(transactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		// the default stalls for 5 s where a moment is to be waited for
		kgo.MetadataMinAge(50*time.Millisecond),
	)...)
}

// read waits until the view has all that is committed.
func (u *update) read(ctx context.Context, cl *kgo.Client) (View, error) {
	s, adm := u.s, kadm.NewClient(cl)
	if err := s.WaitFor(ctx, -1); err != nil {
		return View{}, err
	}
	if _, err := s.identify(ctx, adm); err != nil {
		return View{}, err
	}
	before := s.View().Next
	end, err := s.end(ctx, adm)
	switch {
	case err != nil:
		return View{}, err
	case end < before:
		return View{}, fmt.Errorf("config.storage.topic %s ends at offset %d and was read up to %d already: the brokers have lost records", s.cfg.Topic, end, before)
	}
	if err := s.WaitFor(ctx, end-1); err != nil {
		return View{}, err
	}
	return s.View(), nil
}

func (u *update) records(changes []Change) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for _, c := range changes {
		for _, e := range c.entries {
			if err := e.check(); err != nil {
				return nil, err
			}
			key, value := e.encode()
			records = append(records, &kgo.Record{
				Topic: u.s.cfg.Topic, Key: []byte(key), Value: value, Headers: []kgo.RecordHeader{{Key: nonceHeader, Value: []byte(u.nonce)}, {Key: versionHeader, Value: []byte(u.s.cfg.Version)}},
			})
		}
	}
	return records, nil
}

// commit is steps 4 and 5. The producer id is that of the fence: a client that has taken
// another one meanwhile would commit behind a fence of its own, on a view that may be old.
func (u *update) commit(ctx context.Context, cl *txn.Client, id int64, epoch int16, records []*kgo.Record) (offset int64, err error) {
	ctx, cancel := outlive(ctx, finish)
	defer cancel()
	if err := cl.BeginTransaction(); err != nil {
		return -1, fmt.Errorf("beginning a transaction: %w", err)
	}
	err = cl.ProduceSync(ctx, records...).FirstErr()
	if err == nil {
		nowID, nowEpoch, idErr := cl.ProducerID(ctx)
		if err = idErr; err == nil && (nowID != id || nowEpoch != epoch) {
			err = errFenced
		}
	}
	if err != nil {
		abort, cancel := context.WithTimeout(context.WithoutCancel(ctx), finish)
		defer cancel()
		_ = cl.EndTransaction(abort, kgo.TryAbort) // or the next fence does it
		return -1, fmt.Errorf("writing: %w", u.s.remedy(err))
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		u.lost = !errors.Is(err, txn.ErrAborted)
		return -1, fmt.Errorf("committing: %w", u.s.remedy(err))
	}
	return records[len(records)-1].Offset, nil
}

// outlive is a context that ends a while after ctx.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(by, cancel) })
	return longer, func() { unhook(); cancel() }
}
