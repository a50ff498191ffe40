package checkpoint

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Identity is the partition that a file is a copy of. A cluster that was rebuilt, or a topic that was
// deleted and made again, has another identity under the same name: offsets mean nothing across them.
type Identity struct {
	ClusterID string   `json:"cluster"`
	TopicID   [16]byte `json:"topic_id"`
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
}

// Identify asks the cluster for the identity of a partition of the checkpoint topic. Where the topic
// is there and has no such partition, the identity comes beside the error.
func Identify(ctx context.Context, cl *kgo.Client, topic string, partition int32) (Identity, error) {
	md, err := kadm.NewClient(cl).Metadata(ctx, topic)
	if err != nil {
		return Identity{}, fmt.Errorf("checkpoint: asking for topic %s: %w", topic, err)
	}
	detail, ok := md.Topics[topic]
	if !ok {
		return Identity{}, fmt.Errorf("checkpoint: topic %s is not there: create it, or check checkpoint.topic", topic)
	}
	if detail.Err != nil {
		return Identity{}, fmt.Errorf("checkpoint: topic %s: %w", topic, detail.Err)
	}
	id := Identity{ClusterID: md.Cluster, TopicID: detail.ID, Topic: topic, Partition: partition}
	if _, ok := detail.Partitions[partition]; !ok {
		return id, fmt.Errorf("checkpoint: topic %s has %d partitions, no partition %d: checkpoint.topic.partitions is fixed at creation", topic, len(detail.Partitions), partition)
	}
	return id, nil
}

func (id Identity) encode() []byte { return marshal(id) }

func parseIdentity(b []byte) (Identity, error) {
	var id Identity
	err := json.Unmarshal(b, &id)
	return id, err
}

// differs says what is not the same, for people; "" where nothing is.
func (id Identity) differs(other Identity) string {
	switch {
	case id == other:
		return ""
	case id.ClusterID != other.ClusterID:
		return fmt.Sprintf("it belongs to cluster %q, this is %q", id.ClusterID, other.ClusterID)
	case id.Topic != other.Topic || id.Partition != other.Partition:
		return fmt.Sprintf("it belongs to partition %d of %s, this is partition %d of %s", id.Partition, id.Topic, other.Partition, other.Topic)
	default:
		return fmt.Sprintf("topic %s was deleted and created again since", id.Topic)
	}
}
