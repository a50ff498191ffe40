package stream

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
)

func TestWhatIsKeptOfTopics(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	before := now.Add(-time.Hour)
	one, other := [16]byte{1}, [16]byte{2}
	topic := func(id [16]byte, partitions int32, remade time.Time) checkpoint.Topic {
		return checkpoint.Topic{Name: "a", ID: id, Partitions: partitions, Remade: remade}
	}
	for name, c := range map[string]struct {
		kept, found, want checkpoint.Topic // a kept one without a name: there is none
	}{
		"one that is new":                       {checkpoint.Topic{}, topic(one, 3, time.Time{}), topic(one, 3, time.Time{})},
		"one as it was":                         {topic(one, 3, time.Time{}), topic(one, 3, time.Time{}), topic(one, 3, time.Time{})},
		"partitions that were added":            {topic(one, 3, time.Time{}), topic(one, 12, time.Time{}), topic(one, 3, time.Time{})},
		"another one of the name":               {topic(one, 3, time.Time{}), topic(other, 12, time.Time{}), topic(other, 12, now)},
		"another one with fewer partitions":     {topic(one, 3, time.Time{}), topic(other, 1, time.Time{}), topic(other, 1, now)},
		"one that was made again, as it is":     {topic(other, 1, before), topic(other, 1, time.Time{}), topic(other, 1, before)},
		"one that was made again, with more":    {topic(other, 1, before), topic(other, 4, time.Time{}), topic(other, 1, before)},
		"one that was made again, another time": {topic(one, 1, before), topic(other, 4, time.Time{}), topic(other, 4, now)},
		"brokers that give ids now":             {topic([16]byte{}, 3, time.Time{}), topic(one, 6, time.Time{}), topic(one, 3, time.Time{})},
		"brokers that give no ids any more":     {topic(one, 3, time.Time{}), topic([16]byte{}, 6, time.Time{}), topic(one, 3, time.Time{})},
	} {
		former := checkpoint.Topic{Name: "former", Partitions: 5}
		kept, want := []checkpoint.Topic{former}, []checkpoint.Topic{former, c.want}
		if c.kept.Name != "" {
			kept = append(kept, c.kept)
		}
		got, err := keepTopics(kept, []checkpoint.Topic{c.found}, now)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
	_, err := keepTopics([]checkpoint.Topic{topic(one, 3, time.Time{})}, []checkpoint.Topic{topic(one, 2, time.Time{})}, now)
	var fewer *fewerError
	if !errors.As(err, &fewer) || !strings.Contains(err.Error(), "has 2 partitions, and the ids in it are spread over 3") || !strings.HasSuffix(err.Error(), fewer.Remedy()) {
		t.Errorf("fewer partitions: %v", err)
	}
}
