package checkpoint

import "fmt"

// verdict is what a file and its partition call for.
type verdict uint8

const (
	// goOn: the file is at the end of the partition.
	goOn verdict = iota + 1
	// apply: the partition holds more, from the file's Next on.
	apply
	// setAside: the file is not of this partition, or says more than the partition: the topic wins.
	setAside
)

// partitionState is what the cluster says of a partition.
type partitionState struct {
	Identity
	Start, End int64 // first offset held; the high watermark
}

// compare decides between a file, applied up to next, and its partition. The reason is for people;
// only setAside has one.
func compare(local Identity, next int64, topic partitionState) (verdict, string) {
	if why := local.differs(topic.Identity); why != "" {
		return setAside, why
	}
	switch {
	case next > topic.End:
		return setAside, fmt.Sprintf("it is ahead of the topic: applied up to offset %d, %s partition %d ends at %d", next, topic.Topic, topic.Partition, topic.End)
	case next > 0 && next < topic.Start:
		return setAside, fmt.Sprintf("it is too far behind: applied up to offset %d, %s partition %d begins at %d", next, topic.Topic, topic.Partition, topic.Start)
	case next == topic.End && next > 0:
		return goOn, ""
	default:
		return apply, ""
	}
}
