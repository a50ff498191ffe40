package checkpoint

import (
	"encoding/base64"
	"fmt"
	"slices"
	"time"
)

// Topic is a topic that a stream writes to, its rows' or one of its lines', as it was when the stream
// began with it. Ids are spread over that many partitions for as long as the topic has this id: where
// partitions are added, the versions of an id stay where they were.
type Topic struct {
	Name       string
	ID         [16]byte // zero: the brokers give none
	Partitions int32    // above 0
	// Remade is when it was noticed that the topic had been deleted and made again, so that it lacks what
	// was published before. Zero: it was not, or all has been published once more.
	Remade time.Time
}

// Partitions is over how many partitions of a topic the stream's ids are spread; 0: nothing is noted of it.
func (p Position) Partitions(topic string) int32 {
	if i := slices.IndexFunc(p.Topics, func(t Topic) bool { return t.Name == topic }); i >= 0 {
		return p.Topics[i].Partitions
	}
	return 0
}

// Filled is the topics of a stream of which all that is in Coupa was published once more, or is to be.
// Those that were found made again after since lack rows still.
func Filled(topics []Topic, since time.Time) []Topic {
	filled := slices.Clone(topics)
	for i := range filled {
		if !filled[i].Remade.After(since) {
			filled[i].Remade = time.Time{}
		}
	}
	return filled
}

// topicJSON is a topic as it stands in a position.
type topicJSON struct {
	Name       string `json:"name"`
	ID         string `json:"id,omitempty"`
	Partitions int32  `json:"partitions"`
	Remade     string `json:"remade,omitempty"`
}

func topicForms(topics []Topic) []topicJSON {
	var forms []topicJSON
	for _, t := range topics {
		form := topicJSON{Name: t.Name, Partitions: t.Partitions, Remade: formatTime(t.Remade)}
		if t.ID != [16]byte{} {
			form.ID = base64.RawURLEncoding.EncodeToString(t.ID[:])
		}
		forms = append(forms, form)
	}
	return forms
}

func (t topicJSON) topic() (Topic, error) {
	out := Topic{Name: t.Name, Partitions: t.Partitions}
	var err error
	if out.Remade, err = parseTime(t.Remade); err != nil {
		return out, err
	}
	if t.ID != "" {
		id, err := base64.RawURLEncoding.DecodeString(t.ID)
		if err != nil || len(id) != len(out.ID) {
			return out, fmt.Errorf("%q is no id of a topic", t.ID)
		}
		copy(out.ID[:], id)
	}
	return out, out.check()
}

func (t Topic) check() error {
	switch s := t.Remade.Unix(); {
	case t.Name == "":
		return fmt.Errorf("a topic of %d partitions has no name", t.Partitions)
	case t.Partitions <= 0:
		return fmt.Errorf("topic %s has %d partitions", t.Name, t.Partitions)
	case s < minUnix || s > maxUnix:
		return fmt.Errorf("topic %s: times lie in the years 1 to 9999", t.Name)
	}
	return nil
}
