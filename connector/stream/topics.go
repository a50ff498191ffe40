package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/chores"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
)

// How old what is known of the stream's topics may be: before anything is published, and while it is.
const (
	topicsFresh = time.Second
	topicsCheck = time.Minute
)

// fewerError says that a topic has fewer partitions than ids are spread over, which Kafka knows no way to.
type fewerError struct {
	topic      string
	kept, left int32
}

func (e *fewerError) Error() string {
	return fmt.Sprintf("topic %s has %d partitions, and the ids in it are spread over %d; %s", e.topic, e.left, e.kept, e.Remedy())
}

// Remedy says how to go on.
func (e *fewerError) Remedy() string {
	return "see with kafka-topics --describe what became of it; give back the partitions that it had, or name another topic (topic.template) and reset the offset of the object"
}

// noteTopics keeps in the position what the stream's topics
// are, and in the status how they differ from that.
func (p *Poller) noteTopics(ctx context.Context, age time.Duration) error {
	topics, err := p.currentTopics(ctx, age)
	if err != nil || slices.Equal(topics, p.shard.Position(p.stream).Topics) {
		return err
	}
	return p.record(ctx, func(pos *checkpoint.Position) { pos.Topics = topics })
}

// currentTopics is what the position is to hold of the stream's topics.
func (p *Poller) currentTopics(ctx context.Context, age time.Duration) ([]checkpoint.Topic, error) {
	kept := p.shard.Position(p.stream).Topics
	found, err := p.maker.FindTopics(ctx, age)
	if err != nil {
		return nil, err
	}
	topics, err := keepTopics(kept, found, time.Now())
	if err != nil && clock.Sleep(ctx, topicsFresh) { // the broker that answered may be behind the others
		if found, err = p.maker.FindTopics(ctx, 0); err == nil {
			topics, err = keepTopics(kept, found, time.Now())
		}
	}
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		if !t.Remade.IsZero() && !slices.Contains(kept, t) {
			p.log.Error("a topic was deleted and made again; what was published before is not in it", "topic", t.Name, "remedy", status.RemadeRemedy(p.object))
		}
	}
	p.task.FoundTopics(found)
	return topics, nil
}

// keepTopics is what is kept of topics, given those that were found now: the number of partitions of each
// that is new, or has another id, and otherwise the number that it began with. Names that the stream had
// before stay: it may come back to them.
func keepTopics(kept, found []checkpoint.Topic, now time.Time) ([]checkpoint.Topic, error) {
	topics := slices.Clone(kept)
	for _, f := range found {
		i := slices.IndexFunc(topics, func(t checkpoint.Topic) bool { return t.Name == f.Name })
		switch {
		case i < 0:
			topics = append(topics, f)
		case topics[i].ID != f.ID && topics[i].ID != [16]byte{} && f.ID != [16]byte{}:
			f.Remade = now.UTC().Truncate(time.Millisecond)
			topics[i] = f
		case f.Partitions < topics[i].Partitions:
			return nil, &fewerError{f.Name, topics[i].Partitions, f.Partitions}
		case f.ID != [16]byte{}:
			topics[i].ID = f.ID // the brokers may have learned to give ids
		}
	}
	return topics, nil
}

// lookAtTopics looks now and then what the stream's topics are, until one is gone, so that it is made again.
func (p *Poller) lookAtTopics(ctx context.Context) (time.Duration, error) {
	err := p.noteTopics(ctx, topicsCheck)
	var fewer *fewerError
	if record.Blames(err) || errors.As(err, &fewer) || errors.Is(err, shard.ErrReleased) {
		return chores.Never, err
	}
	return topicsCheck, nil
}
