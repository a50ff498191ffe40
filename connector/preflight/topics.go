package preflight

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/schemas"
)

// topic is one that a run writes to.
type topic struct {
	name, file string
	own        bool // it holds what the workers read themselves, and compaction keeps
	partitions int  // that it is made with
	single     bool // it may have no other number
	policy     string
}

// topics are all that a run writes to, each once.
func (t *trial) topics() []topic {
	s := t.Settings
	all := []topic{
		{name: s.CheckpointTopic, file: s.File, own: true, partitions: s.CheckpointPartitions, policy: "compact"},
		{name: s.ConfigTopic, file: s.File, own: true, partitions: 1, single: true, policy: "compact"},
	}
	add := func(name, file string) {
		if name != "" && !slices.ContainsFunc(all, func(other topic) bool { return other.name == name }) {
			all = append(all, topic{name: name, file: file, partitions: s.TopicPartitions, policy: s.TopicCleanup})
		}
	}
	add(s.Notifications.Topic, s.File)
	for _, c := range t.Connectors {
		add(c.Notifications.Topic, c.File)
		for _, o := range c.Objects {
			add(o.Topic, c.File)
			for _, list := range linesOf(o) {
				add(o.LineTopic(list), c.File)
			}
			add(o.DLQTopic, c.File)
		}
	}
	return all
}

// linesOf are the lists of an object whose lines have topics of their own.
func linesOf(o config.Object) (names []string) {
	if o.Lines == config.LinesEmbedded {
		return nil
	}
	schema, err := schemas.For(o.Path, o.SchemaOptions())
	if err != nil {
		return nil // told with the schemas
	}
	split, err := schema.Split(o.Lines == config.LinesBoth)
	if err != nil {
		return nil
	}
	for _, l := range split.Lists {
		names = append(names, l.Name)
	}
	return names
}

// tryTopics tries rights, policies and limits of each topic. One that is not there is to be made.
func (t *trial) tryTopics(ctx context.Context, cl *kgo.Client, topics []topic, acls aclsOfIDs) {
	ctx, cancel := context.WithTimeout(ctx, brokersTimeout)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, tp := range topics {
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = kmsg.StringPtr(tp.name)
		req.Topics = append(req.Topics, one)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		t.failed("topics", err, "see the brokers' logs")
		return
	}
	found := map[string]kmsg.MetadataResponseTopic{}
	for _, m := range resp.Topics {
		if m.Topic != nil {
			found[*m.Topic] = m
		}
	}
	configs := describeConfigs(ctx, cl, topics)
	var missing []topic
	for _, tp := range topics {
		m := found[tp.name]
		switch err := kerr.ErrorForCode(m.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, tp)
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			t.topicWrong(tp, "this principal may not see it", "allow it "+tp.rights()+" on the topic, and CREATE if it is to be made")
		case errors.Is(err, kerr.InvalidTopicException):
			t.topicWrong(tp, "no name for a topic", "change topic.template: letters, digits, '.', '_' and '-'")
		case err != nil:
			t.tell(Finding{Check: tp.check(), Verdict: NotOK, Detail: err.Error(), Remedy: "see the brokers' logs", File: tp.file, Passes: true})
		default:
			t.existing(tp, m, configs[tp.name])
		}
	}
	creatable := t.make(ctx, cl, missing)
	if len(creatable) == 0 || acls.unguarded() {
		return
	}
	t.notTried("rights on topics that are to be made", "brokers tell them of topics that are there; needed are "+rightsOf(creatable))
}

// rightsOf names what is needed on topics, those that need the same together.
func rightsOf(topics []topic) string {
	names := map[string][]string{}
	for _, tp := range topics {
		names[tp.rights()] = append(names[tp.rights()], tp.name)
	}
	var all []string
	for _, rights := range slices.Sorted(maps.Keys(names)) {
		all = append(all, rights+" on "+strings.Join(names[rights], ", "))
	}
	return strings.Join(all, "; ")
}

func (tp topic) check() string { return "topic " + tp.name }

// needed are the rights without which nothing goes; DESCRIBE shows in that the topic is seen.
func (tp topic) needed() []kmsg.ACLOperation {
	if tp.own {
		return []kmsg.ACLOperation{kmsg.ACLOperationWrite, kmsg.ACLOperationRead}
	}
	return []kmsg.ACLOperation{kmsg.ACLOperationWrite}
}

func (tp topic) rights() string {
	if tp.own {
		return "WRITE, READ, DESCRIBE and DESCRIBE_CONFIGS"
	}
	return "WRITE, DESCRIBE and DESCRIBE_CONFIGS"
}

func (t *trial) topicOK(tp topic, detail string) {
	t.tell(Finding{Check: tp.check(), Verdict: OK, Detail: detail, File: tp.file})
}

func (t *trial) topicNotTried(tp topic, why string) {
	t.tell(Finding{Check: tp.check(), Verdict: NotTried, Detail: why, File: tp.file})
}

func (t *trial) topicWrong(tp topic, detail, remedy string) {
	t.tell(Finding{Check: tp.check(), Verdict: NotOK, Detail: detail, Remedy: remedy, File: tp.file})
}

// topicConfigs is what a topic's configuration is, or why it can't be read.
type topicConfigs struct {
	values map[string]string
	err    error
}

// describeConfigs reads the configurations of topics.
func describeConfigs(ctx context.Context, cl *kgo.Client, topics []topic) map[string]topicConfigs {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, tp := range topics {
		one := kmsg.NewDescribeConfigsRequestResource()
		one.ResourceType, one.ResourceName = kmsg.ConfigResourceTypeTopic, tp.name
		one.ConfigNames = []string{"cleanup.policy", "max.message.bytes", "min.insync.replicas"}
		req.Resources = append(req.Resources, one)
	}
	all := map[string]topicConfigs{}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		for _, tp := range topics {
			all[tp.name] = topicConfigs{err: err}
		}
		return all
	}
	for _, r := range resp.Resources {
		d := topicConfigs{values: map[string]string{}, err: kerr.ErrorForCode(r.ErrorCode)}
		for _, c := range r.Configs {
			if c.Value != nil {
				d.values[c.Name] = *c.Value
			}
		}
		all[r.ResourceName] = d
	}
	return all
}

// existing tries a topic that is there.
func (t *trial) existing(tp topic, m kmsg.MetadataResponseTopic, configs topicConfigs) {
	ops := operations(m.AuthorizedOperations)
	if ops != untold {
		if lacking := ops.lacking(tp.needed()...); len(lacking) > 0 {
			t.topicWrong(tp, "this principal may not "+strings.Join(lacking, " nor "), "allow it "+tp.rights()+" on the topic")
			return
		}
	}
	replicas, leaderless := 0, 0
	for i, p := range m.Partitions {
		if n := len(p.Replicas); i == 0 || n < replicas {
			replicas = n
		}
		if p.Leader < 0 {
			leaderless++
		}
	}
	switch {
	case leaderless > 0:
		t.tell(Finding{Check: tp.check(), Verdict: NotOK, Detail: fmt.Sprintf("%d of %d partitions have no leader", leaderless, len(m.Partitions)),
			Remedy: "see the brokers' logs", File: tp.file, Passes: true})
		return
	case tp.single && len(m.Partitions) != 1:
		t.topicWrong(tp, fmt.Sprintf("it has %d partitions, and changes have an order in one alone", len(m.Partitions)), "name another topic, or delete it to have it made")
		return
	}
	if configs.err != nil {
		t.topicOK(tp, fmt.Sprintf("%s, %d partitions", rightsTold(ops, tp), len(m.Partitions)))
		t.tell(Finding{Check: "limits of topic " + tp.name, Verdict: NotTried, File: tp.file,
			Detail: "DESCRIBE_CONFIGS is not allowed, so records may be as large as the brokers' default: " + cause(configs.err)})
		return
	}
	if t.misfits(tp, configs.values, replicas) {
		return
	}
	t.topicOK(tp, fmt.Sprintf("%s, %d partitions, %s", rightsTold(ops, tp), len(m.Partitions), told(configs.values)))
	if ops == untold {
		t.topicNotTried(tp, "these brokers do not tell which operations are allowed; needed are "+tp.rights())
	}
}

func rightsTold(ops operations, tp topic) string {
	if ops == untold {
		return "there"
	}
	return strings.Join(append(operations(0).lacking(tp.needed()...), "DESCRIBE"), ", ") + " allowed"
}

func told(values map[string]string) string {
	return fmt.Sprintf("cleanup.policy %s, max.message.bytes %s", values["cleanup.policy"], values["max.message.bytes"])
}

// misfits tells of a configuration under which the topic would lose what it holds, or take nothing.
func (t *trial) misfits(tp topic, values map[string]string, replicas int) bool {
	if policy := values["cleanup.policy"]; tp.own && policy != "" && policy != "compact" {
		t.topicWrong(tp, "its cleanup.policy is "+policy+", and it would lose what workers go on from", "set it to compact, or name another topic")
		return true
	}
	if least, err := strconv.Atoi(values["min.insync.replicas"]); err == nil && replicas > 0 && least > replicas {
		t.topicWrong(tp, fmt.Sprintf("min.insync.replicas is %d with %d replicas, so nothing can be written", least, replicas), "lower it, or give the topic more replicas")
		return true
	}
	return false
}

// make asks whether topics could be made, which makes none, and gives those that could.
func (t *trial) make(ctx context.Context, cl *kgo.Client, missing []topic) (creatable []topic) {
	if len(missing) == 0 {
		return nil
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.ValidateOnly = true
	for _, tp := range missing {
		one := kmsg.NewCreateTopicsRequestTopic()
		one.Topic, one.NumPartitions, one.ReplicationFactor = tp.name, int32(tp.partitions), int16(t.Settings.TopicReplication)
		policy := kmsg.NewCreateTopicsRequestTopicConfig()
		policy.Name, policy.Value = "cleanup.policy", &tp.policy
		one.Configs = append(one.Configs, policy)
		req.Topics = append(req.Topics, one)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		t.failed("topics that are to be made", err, "see the brokers' logs")
		return nil
	}
	answers := map[string]kmsg.CreateTopicsResponseTopic{}
	for _, a := range resp.Topics {
		answers[a.Topic] = a
	}
	for _, tp := range missing {
		a := answers[tp.name]
		switch err := kerr.ErrorForCode(a.ErrorCode); {
		case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
			t.topicWrong(tp, "it is not there, and this principal may not create it", fmt.Sprintf("create it (%d partitions), or allow this principal CREATE on it", tp.partitions))
		case errors.Is(err, kerr.InvalidReplicationFactor):
			t.topicWrong(tp, fmt.Sprintf("it can't be created with topic.creation.default.replication.factor=%d", t.Settings.TopicReplication), "give at most the number of brokers")
		case err != nil:
			detail := err.Error()
			if a.ErrorMessage != nil {
				detail = *a.ErrorMessage
			}
			t.topicWrong(tp, "it can't be created: "+detail, "create it, or change topic.template or topic.creation.default.*")
		case t.misfits(tp, valuesOf(a), int(a.ReplicationFactor)):
		default:
			t.topicOK(tp, fmt.Sprintf("it is not there, and can be created (%d partitions)", tp.partitions))
			creatable = append(creatable, tp)
		}
	}
	return creatable
}

// valuesOf is the configuration that a topic would have.
func valuesOf(a kmsg.CreateTopicsResponseTopic) map[string]string {
	values := map[string]string{}
	for _, c := range a.Configs {
		if c.Value != nil {
			values[c.Name] = *c.Value
		}
	}
	return values
}
