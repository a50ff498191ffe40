package status

import (
	"fmt"
	"slices"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
)

// waits tells whether a sweep waits for approval.
func (d *Deletes) waits() bool { return d != nil && d.Stage == checkpoint.SweepWaiting }

// notice tells what a sweep that waits has seen, and what lets it go on.
func (d *Deletes) notice(object string) Trouble {
	return Trouble{
		At:      d.Ended,
		Message: fmt.Sprintf("a sweep has not found %d of %d rows, such as %v, and waits for approval: %s", d.Missing, d.Known, d.Examples, d.Why),
		Remedy: "see in Coupa whether these rows are deleted, or hidden from the API client. If they are deleted: `coupastream deletes approve CONNECTOR " + object +
			"`. If not, give back what the client may see: what comes back needs no approval",
	}
}

// FoundTopics takes in what the object's topics were found to be.
func (t *Task) FoundTopics(found []checkpoint.Topic) {
	now := time.Now()
	t.note(func(_ *TaskStatus, v *vitals) {
		if slices.Equal(v.found, found) {
			return
		}
		v.found, v.foundAt = slices.Clone(found), now
	})
}

// Warn tells of something beside the object that a person has to see to, in place of what was told before;
// nil: there is nothing. What is told again keeps its time.
func (t *Task) Warn(warning *Trouble) {
	t.note(func(_ *TaskStatus, v *vitals) {
		if warning == nil || v.warning == nil || warning.Message != v.warning.Message {
			v.warning = warning
		}
	})
}

// RemadeRemedy is what brings back rows of an object whose topic was deleted and made again.
func RemadeRemedy(o *config.Object) string {
	if o.IsWhole() {
		return "reset the offset of the object: all its rows are published again"
	}
	return "publish all its rows once more with `coupastream snapshot start`, which ends this notice; `coupastream verify --repair` publishes those that are missing, and the notice ends when the offset is set then"
}

// noticesOf are what stays as it is until a person acts: topics that were made again, and partitions that
// were added, by the committed position and what the topics were found to be; polls that are too
// rare; and rows that can't be marked as exported.
func (v *vitals) noticesOf(s *TaskStatus, o *config.Object) (all []Trouble, incomplete bool) {
	if !v.slow.IsZero() {
		all = append(all, Trouble{
			At:      v.slow,
			Message: fmt.Sprintf("the object is polled every %s: polls of all objects every %s would take more than poll.rate.share of the rate of requests", s.Interval.Round(time.Second), o.PollInterval),
			Remedy:  "raise poll.rate.share or coupa.rate.limit, or stream fewer objects",
		})
	}
	for _, t := range s.Committed.Topics {
		if t.Name != s.Topic && !slices.Contains(s.LineTopics, t.Name) {
			continue
		}
		if !t.Remade.IsZero() {
			incomplete = true
			all = append(all, Trouble{
				At: t.Remade, Remedy: RemadeRemedy(o),
				Message: fmt.Sprintf("topic %s was deleted and made again: what was published before is not in it", t.Name),
			})
		}
		i := slices.IndexFunc(v.found, func(f checkpoint.Topic) bool { return f.Name == t.Name && f.Partitions > t.Partitions })
		if i >= 0 && v.found[i].ID == t.ID {
			all = append(all, Trouble{
				At:      v.foundAt,
				Message: fmt.Sprintf("topic %s has %d partitions now; ids stay in the %d that it had when the object began, so that each one's versions are in one partition", t.Name, v.found[i].Partitions, t.Partitions),
				Remedy:  "leave it so; or, to spread ids over all of them, name another topic (topic.template), or delete this one and make it with that number, and publish all rows once more",
			})
		}
	}
	if s.Marking.Trouble != nil {
		all = append(all, *s.Marking.Trouble)
	}
	if s.Deletes.waits() {
		all = append(all, s.Deletes.notice(o.Path))
	}
	if v.warning != nil {
		all = append(all, *v.warning)
	}
	return all, incomplete
}
