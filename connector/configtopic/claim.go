package configtopic

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// Claim says where a shard's positions are, and which state file knew them last.
type Claim struct {
	Cluster    string   // of Kafka
	TopicID    [16]byte // of the checkpoint topic
	Partitions int32    // that it has
	Begin      int64    // offset of the anchor in the shard's partition; see checkpoint.AnchorRecord
	Generation int64    // counts the files that owned the shard
	File       string   // the last one's name
	WorkerID   string   // who has it
}

// claimJSON is a claim as it stands in the topic.
type claimJSON struct {
	Cluster    string `json:"cluster"`
	TopicID    string `json:"topic_id"`
	Partitions int32  `json:"partitions"`
	Begin      int64  `json:"begin"`
	Generation int64  `json:"generation"`
	File       string `json:"file"`
	WorkerID   string `json:"worker_id"`
}

func claimForm(c Claim) claimJSON {
	return claimJSON{c.Cluster, base64.RawURLEncoding.EncodeToString(c.TopicID[:]), c.Partitions, c.Begin, c.Generation, c.File, c.WorkerID}
}

func claimOf(fields map[string]json.RawMessage) (Claim, error) {
	var form claimJSON
	var errs []error
	for name, to := range map[string]any{
		"cluster": &form.Cluster, "topic_id": &form.TopicID, "partitions": &form.Partitions, "begin": &form.Begin,
		"generation": &form.Generation, "file": &form.File, "worker_id": &form.WorkerID,
	} {
		if json.Unmarshal(fields[name], to) != nil || isNull(fields[name]) {
			errs = append(errs, errors.New(name+" is not what it is in a checkpoint's record"))
		}
	}
	id, err := base64.RawURLEncoding.DecodeString(form.TopicID)
	if err != nil || len(id) != 16 {
		errs = append(errs, errors.New("topic_id is no id of a topic"))
	}
	if err := errors.Join(errs...); err != nil {
		return Claim{}, err
	}
	return Claim{form.Cluster, [16]byte(id), form.Partitions, form.Begin, form.Generation, form.File, form.WorkerID}, nil
}

// SetClaim writes where a shard's positions are from now on. Its generation is one
// above that of the file before; what says so already is not written again.
func (s *Store) SetClaim(ctx context.Context, shard int32, c Claim) error {
	_, err := s.Update(ctx, func(v View) ([]Change, error) {
		had := v.Claims[shard]
		if c.Generation = had.Generation; had.File != c.File {
			c.Generation++
		}
		if had == c {
			return nil, nil
		}
		return []Change{{[]entry{{kind: claim, shard: shard, claim: c}}}}, nil
	})
	return err
}
