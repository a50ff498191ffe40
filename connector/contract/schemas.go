package contract

import (
	"encoding/json"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/schemas"
)

// Schema is what the values of a topic are written with.
type Schema struct {
	Object string          `json:"object"`
	Topic  string          `json:"topic"`
	Format string          `json:"value_format"`
	Schema json.RawMessage `json:"schema"` // Avro, or JSON Schema; with value.format=json no registry has it
}

// Schemas are those of the topics of some of a connector's objects, all of them if none is named. As in a
// contract, what rows alone tell is not in them.
func Schemas(c *config.Connector, paths []string) ([]Schema, error) {
	objects, err := chosen(c, paths)
	if err != nil {
		return nil, err
	}
	var all []Schema
	for _, o := range objects {
		split, err := splitOf(o)
		if err != nil {
			return nil, err
		}
		add := func(topic string, s *schemas.Schema) error {
			text := s.JSON()
			if o.ValueFormat != config.FormatAvro {
				if text, err = s.JSONSchema(); err != nil {
					return err
				}
			}
			all = append(all, Schema{o.Path, topic, o.ValueFormat, json.RawMessage(text)})
			return nil
		}
		if err := add(o.Topic, split.Row); err != nil {
			return nil, err
		}
		for _, l := range split.Lists {
			if err := add(o.LineTopic(l.Name), l.Schema); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}
