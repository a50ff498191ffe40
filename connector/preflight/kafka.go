package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/internal/txn"
)

// brokersTimeout bounds one question to the brokers.
const brokersTimeout = 10 * time.Second

// askable is what this package speaks of Kafka's protocol. From DescribeGroups 6 on
// a group that is not there yet is an error without the operations that are allowed.
func askable() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.DescribeGroups), 5)
	return v
}

// kafka tries all that lies with the brokers.
func (t *trial) kafka(ctx context.Context) {
	cl, err := kgo.NewClient(append(slices.Clip(t.Kafka), kgo.MaxVersions(askable()), kgo.RequestRetries(2), kgo.RetryTimeout(brokersTimeout))...)
	if err != nil {
		t.wrong("brokers", err.Error(), "correct bootstrap.servers, security.protocol, ssl.* and sasl.*")
		return
	}
	defer cl.Close()
	if !t.brokers(ctx, cl) {
		t.notTried("rights, topics and limits in Kafka", "no broker can be reached")
		return
	}
	acls := describeACLs(ctx, cl)
	t.group(ctx, cl)
	t.transactionalIDs(ctx, cl, acls)
	t.tryTopics(ctx, cl, t.topics(), acls)
}

// coordinated asks until a coordinator is there to answer: in a cluster that has had no groups or
// transactions yet, and after a broker went, it takes a moment. ask gives the error of the answer too.
func coordinated(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.CoordinatorLoadInProgress) && !errors.Is(err, kerr.NotCoordinator) {
			return err
		}
		if !clock.Sleep(ctx, 250*time.Millisecond) {
			return err
		}
	}
}

// brokers tries to reach each broker, and tells which cluster they are and of their limits.
func (t *trial) brokers(ctx context.Context, cl *kgo.Client) bool {
	const check = "brokers"
	ctx, cancel := context.WithTimeout(ctx, brokersTimeout)
	defer cancel()
	adm := kadm.NewClient(cl)
	meta, err := adm.BrokerMetadata(ctx)
	if err != nil {
		remedy := fmt.Sprintf("bootstrap.servers = %s: check addresses, network, security.protocol, ssl.* and sasl.*", strings.Join(t.Settings.BootstrapServers, ","))
		if errors.Is(err, kerr.SaslAuthenticationFailed) {
			t.wrong(check, err.Error(), "check sasl.mechanism, "+t.Settings.Security.Identity())
		} else {
			t.failed(check, err, remedy)
		}
		return false
	}
	versions, _ := adm.ApiVersions(ctx) // of each broker its own error
	var guesses []string
	reached := int32(-1)
	for _, v := range versions.Sorted() {
		if v.Err != nil {
			t.failed(fmt.Sprintf("broker %d", v.NodeID), v.Err, "check that this machine may reach the broker by the address that it advertises")
			continue
		}
		reached = v.NodeID
		if guess := v.VersionGuess(); !slices.Contains(guesses, guess) {
			guesses = append(guesses, guess)
		}
	}
	if reached < 0 {
		return false
	}
	t.ok(check, fmt.Sprintf("cluster %s, %d of %d answer, Kafka %s", meta.Cluster, len(versions)-failures(versions), len(meta.Brokers), strings.Join(guesses, ", ")))
	t.limits(ctx, adm, reached)
	return true
}

func failures(versions kadm.BrokersApiVersions) (n int) {
	for _, v := range versions {
		if v.Err != nil {
			n++
		}
	}
	return n
}

// leastExpiration is below what a quiet object may well rest for.
const leastExpiration = time.Hour

// limits compares the brokers' limits with what a worker asks for.
func (t *trial) limits(ctx context.Context, adm *kadm.Client, broker int32) {
	const check = "limits of the brokers"
	all, err := adm.DescribeBrokerConfigs(ctx, broker)
	var values map[string]string
	if err == nil {
		for _, rc := range all {
			err = errors.Join(err, rc.Err)
			values = map[string]string{}
			for _, c := range rc.Configs {
				if c.Value != nil {
					values[c.Key] = *c.Value
				}
			}
		}
	}
	if err != nil {
		t.notTried(check, fmt.Sprintf("transaction.max.timeout.ms has to be at least %d; reading it needs DESCRIBE_CONFIGS on the cluster: %v", txn.Timeout.Milliseconds(), err))
		return
	}
	var told []string
	for _, limit := range []struct {
		key         string
		least, most time.Duration // 0: none
		remedy      string
	}{
		{"transaction.max.timeout.ms", txn.Timeout, 0, "raise it on the brokers: transactions of a worker may take so long"},
		{"transactional.id.expiration.ms", leastExpiration, 0, "raise it on the brokers: ids of objects that rest for longer are lost; Kafka's default is 7 days"},
		{"group.min.session.timeout.ms", 0, t.Settings.SessionTimeout, "raise session.timeout.ms, or lower this on the brokers"},
		{"group.max.session.timeout.ms", t.Settings.SessionTimeout, 0, "lower session.timeout.ms, or raise this on the brokers"},
	} {
		ms, err := strconv.ParseInt(values[limit.key], 10, 64)
		if err != nil {
			continue // not Apache's brokers: they have no such limit, or do not tell
		}
		value := time.Duration(ms) * time.Millisecond
		switch {
		case value < limit.least:
			t.wrong(check, fmt.Sprintf("%s is %d, and at least %d is needed", limit.key, ms, limit.least.Milliseconds()), limit.remedy)
		case limit.most > 0 && value > limit.most:
			t.wrong(check, fmt.Sprintf("%s is %d, and at most %d is needed", limit.key, ms, limit.most.Milliseconds()), limit.remedy)
		default:
			told = append(told, fmt.Sprintf("%s %d", limit.key, ms))
		}
	}
	if len(told) > 0 {
		t.ok(check, strings.Join(told, ", "))
	} else {
		t.notTried(check, "the brokers tell of none")
	}
}

// operations are those that the brokers say are allowed.
type operations int32

// untold is the protocol's word of brokers that do not tell them.
const untold operations = -1 << 31

func (o operations) allow(op kmsg.ACLOperation) bool { return o>>op&1 == 1 }

// lacking names those that are needed and not allowed, as Kafka's tools do.
func (o operations) lacking(needed ...kmsg.ACLOperation) (names []string) {
	for _, op := range needed {
		if !o.allow(op) {
			names = append(names, op.String())
		}
	}
	return names
}

// group tries the right to read as a member of the workers' group.
func (t *trial) group(ctx context.Context, cl *kgo.Client) {
	check := "group " + t.Settings.GroupID
	remedy := "allow this principal READ on the group"
	ctx, cancel := context.WithTimeout(ctx, brokersTimeout)
	defer cancel()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{t.Settings.GroupID}, true
	ops := untold
	err := coordinated(ctx, func() error {
		resp, err := req.RequestWith(ctx, cl)
		if err == nil && len(resp.Groups) == 1 {
			ops, err = operations(resp.Groups[0].AuthorizedOperations), kerr.ErrorForCode(resp.Groups[0].ErrorCode)
		}
		return err
	})
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		t.wrong(check, "this principal may not see it, so it may not READ", remedy)
	case err != nil:
		t.failed(check, err, "see the brokers' logs")
	case ops == untold:
		t.notTried(check, "these brokers do not tell which operations are allowed; READ is needed")
	case len(ops.lacking(kmsg.ACLOperationRead)) > 0:
		t.wrong(check, "this principal may see it, and not READ", remedy)
	default:
		t.ok(check, "READ is allowed")
	}
}

// transactionalIDs tries the rights on the ids that the shards and changes of connectors take, without
// taking one. DESCRIBE shows in what is told of them; WRITE, which
// implies it, is nowhere told but in the ACLs, which few may read.
func (t *trial) transactionalIDs(ctx context.Context, cl *kgo.Client, acls aclsOfIDs) {
	check := "transactional ids " + t.Settings.GroupID + "-*"
	const remedy = "allow this principal WRITE and DESCRIBE on them"
	ids := []string{t.Settings.GroupID + "-configs"}
	for n := range t.Settings.CheckpointPartitions {
		ids = append(ids, t.Settings.GroupID+"-"+strconv.Itoa(n))
	}
	ctx, cancel := context.WithTimeout(ctx, brokersTimeout)
	defer cancel()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = ids
	err := coordinated(ctx, func() error { return described(cl.RequestSharded(ctx, req)) })
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		t.wrong(check, "this principal may not see them", remedy)
		return
	case err != nil:
		t.notTried(check, "the brokers do not tell of them; WRITE and DESCRIBE are needed: "+cause(err))
		return
	}
	why, allowed, denied := t.mayWrite(acls, ids)
	switch {
	case denied:
		t.wrong(check, "DESCRIBE is allowed; "+why, remedy)
	case allowed:
		t.ok(check, "WRITE and DESCRIBE are allowed; "+why)
	default:
		t.notTried(check, "DESCRIBE is allowed; WRITE is needed too, and only its use would show it: "+why)
	}
}

// described is the first error of what was told of transactional ids. One that nobody has used is none.
func described(shards []kgo.ResponseShard) error {
	for _, shard := range shards {
		if shard.Err != nil {
			return shard.Err
		}
		for _, s := range shard.Resp.(*kmsg.DescribeTransactionsResponse).TransactionStates {
			if err := kerr.ErrorForCode(s.ErrorCode); err != nil && !errors.Is(err, kerr.TransactionalIDNotFound) {
				return err
			}
		}
	}
	return nil
}

// aclsOfIDs are the ACLs of transactional ids, or why they can't be read.
type aclsOfIDs struct {
	resources []kmsg.DescribeACLsResponseResource
	err       error
}

// unguarded says that the brokers let everybody do everything.
func (a aclsOfIDs) unguarded() bool { return errors.Is(a.err, kerr.SecurityDisabled) }

func describeACLs(ctx context.Context, cl *kgo.Client) aclsOfIDs {
	ctx, cancel := context.WithTimeout(ctx, brokersTimeout)
	defer cancel()
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeTransactionalId, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return aclsOfIDs{err: err}
	}
	return aclsOfIDs{resp.Resources, kerr.ErrorForCode(resp.ErrorCode)}
}

// mayWrite looks for an ACL that allows, or denies, this principal WRITE on each
// transactional id. None says nothing: superusers, and brokers that allow what no ACL is about, need none.
func (t *trial) mayWrite(acls aclsOfIDs, ids []string) (why string, allowed, denied bool) {
	switch {
	case acls.unguarded():
		return "these brokers have no authorizer", true, false
	case errors.Is(acls.err, kerr.ClusterAuthorizationFailed):
		return "this principal may not read ACLs (DESCRIBE on the cluster)", false, false
	case acls.err != nil:
		return "reading the ACLs: " + cause(acls.err), false, false
	}
	principals := []string{"User:*"}
	if s := t.Settings.Security; s.Username != "" {
		principals = append(principals, "User:"+s.Username)
	}
	allowing := map[string]bool{}
	for _, r := range acls.resources {
		for _, acl := range r.ACLs {
			if !slices.Contains(principals, acl.Principal) || acl.Host != "*" || acl.Operation != kmsg.ACLOperationWrite && acl.Operation != kmsg.ACLOperationAll {
				continue
			}
			for _, id := range ids {
				if r.ResourceName != id && r.ResourceName != "*" && (r.ResourcePatternType != kmsg.ACLResourcePatternTypePrefixed || !strings.HasPrefix(id, r.ResourceName)) {
					continue
				}
				if acl.PermissionType == kmsg.ACLPermissionTypeDeny {
					return fmt.Sprintf("an ACL denies %s %s on %s", acl.Principal, acl.Operation, id), false, true
				}
				allowing[id] = true
			}
		}
	}
	for _, id := range ids {
		if !allowing[id] {
			return "no ACL names " + principals[len(principals)-1] + " for " + id, false, false
		}
	}
	return "by the ACLs", true, false
}
