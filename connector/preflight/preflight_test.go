package preflight_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/preflight"
	"github.com/coupastream/coupastream/schemas/registry"
)

// rig is brokers, a registry and the files of a worker and a connector.
type rig struct {
	t         *testing.T
	cluster   *kfake.Cluster
	admin     *kadm.Client
	registry  *srfake.Registry
	worker    map[string]string
	connector map[string]string

	mu       sync.Mutex
	asked    []string // of the registry: method and path
	verdicts map[string]bool
	refused  int // requests for a coordinator
	kafka    []kmsg.Request
}

const password = "hunter2"

// newRig has brokers that know the user worker, who has the rights given; "*": all.
func newRig(t *testing.T, acls []kfake.ACL, opts ...kfake.Opt) *rig {
	t.Helper()
	r := &rig{t: t, registry: srfake.NewRegistry(srfake.WithGlobalCompat(sr.CompatBackward)), verdicts: map[string]bool{}}
	opts = append(opts, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "admin", password))
	if acls != nil {
		opts = append(opts, kfake.EnableACLs())
	}
	opts = append(opts, kfake.User("PLAIN", "worker", password, acls...))
	var err error
	if r.cluster, err = kfake.NewCluster(opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...), r.as("admin"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	r.admin = kadm.NewClient(cl)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.asked = append(r.asked, req.Method+" "+req.URL.Path)
		r.mu.Unlock()
		if _, subject, ok := strings.Cut(req.URL.Path, "/compatibility/subjects/"); ok && r.verdicts[strings.Split(subject, "/")[0]] {
			w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
			_, _ = w.Write([]byte(`{"is_compatible": false, "messages": ["READER_FIELD_MISSING_DEFAULT_VALUE at /fields/7"]}`))
			return
		}
		r.registry.Handler().ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.worker = map[string]string{
		"bootstrap.servers": r.cluster.ListenAddrs()[0], "schema.registry.url": server.URL, "group.id": "gp", "listeners": "http://127.0.0.1:0",
		"state.dir": filepath.Join(t.TempDir(), "state"), "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "worker", "sasl.password": password,
	}
	r.connector = map[string]string{
		"name": "acme", "coupa.url": "https://acme.coupahost.com", "coupa.client.id": "c", "coupa.client.secret": "s", "coupa.objects": "suppliers",
	}
	return r
}

func (*rig) as(user string) kgo.Opt {
	return kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism())
}

func (r *rig) create(topic string, partitions int32, configs map[string]*string) {
	r.t.Helper()
	if _, err := r.admin.CreateTopic(r.t.Context(), partitions, 1, configs, topic); err != nil {
		r.t.Fatal(err)
	}
}

// register gives a subject a version that has no field.
func (r *rig) register(subject string) {
	r.t.Helper()
	if _, _, err := r.registry.RegisterSchema(subject, sr.Schema{Schema: `{"type":"record","name":"Supplier","namespace":"coupa","fields":[]}`}); err != nil {
		r.t.Fatal(err)
	}
}

// try gives a line for each finding: verdict, check: detail; remedy.
func (r *rig) try() (lines []string) {
	r.t.Helper()
	settings, err := config.ParseWorker(r.worker, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	var text strings.Builder
	for key, value := range r.connector {
		fmt.Fprintf(&text, "%s: %q\n", key, value)
	}
	file := filepath.Join(r.t.TempDir(), "acme.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		r.t.Fatal(err)
	}
	c, err := config.LoadConnector(file, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	reg, err := registry.New(registry.Config{URLs: settings.Registry.URLs})
	if err != nil {
		r.t.Fatal(err)
	}
	r.cluster.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.kafka = append(r.kafka, req)
		return nil, nil, false
	})
	preflight.Try(r.t.Context(), preflight.Config{
		Settings: settings, Connectors: []*config.Connector{c}, Registry: reg,
		Kafka: []kgo.Opt{kgo.SeedBrokers(settings.BootstrapServers...), kgo.SASL(plain.Auth{User: "worker", Pass: string(settings.Security.Password)}.AsMechanism())},
	}, func(f preflight.Finding) {
		lines = append(lines, fmt.Sprintf("%s, %s: %s; %s", f.Verdict, f.Check, f.Detail, f.Remedy))
		if f.Verdict == preflight.NotOK && f.Remedy == "" {
			r.t.Errorf("no remedy: %+v", f)
		}
	})
	if strings.Contains(strings.Join(lines, "\n"), password) {
		r.t.Error("a secret is told")
	}
	return lines
}

// wants fails where a line is missing that begins with the first part and holds all others.
func wants(t *testing.T, lines []string, want ...string) {
	t.Helper()
	if !slices.ContainsFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, want[0]) && !slices.ContainsFunc(want[1:], func(part string) bool { return !strings.Contains(line, part) })
	}) {
		t.Errorf("no line with %q in\n%s", want, strings.Join(lines, "\n"))
	}
}

func wantNone(t *testing.T, lines []string, verdict preflight.Verdict) {
	t.Helper()
	for _, line := range lines {
		if strings.HasPrefix(line, string(verdict)+",") {
			t.Errorf("unwanted: %s", line)
		}
	}
}

func TestAllThatARunNeedsIsTriedAndNothingIsChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, kfake.ClusterID("abc"))
	compact := "compact"
	r.create("gp-checkpoints", 8, map[string]*string{"cleanup.policy": &compact})
	lines := r.try()
	wantNone(t, lines, preflight.NotOK)
	wants(t, lines, "ok, listener http://127.0.0.1:0: free")
	wants(t, lines, "ok, state.dir: ", "is to be made in", "fsync takes", "GiB are free")
	wants(t, lines, "ok, brokers: cluster abc, 1 of 1 answer, Kafka ")
	wants(t, lines, "ok, limits of the brokers: transaction.max.timeout.ms 900000, transactional.id.expiration.ms 604800000")
	wants(t, lines, "ok, group gp: READ is allowed")
	wants(t, lines, "not tried, transactional ids gp-*: DESCRIBE is allowed; WRITE is needed too", "no ACL names User:worker")
	wants(t, lines, "ok, topic gp-checkpoints: WRITE, READ, DESCRIBE allowed, 8 partitions, cleanup.policy compact, max.message.bytes 1048588")
	wants(t, lines, "ok, topic gp-configs: it is not there, and can be created (1 partitions)")
	wants(t, lines, "not tried, rights on topics that are to be made: ", "WRITE, DESCRIBE and DESCRIBE_CONFIGS on coupa.suppliers; WRITE, READ, DESCRIBE and DESCRIBE_CONFIGS on gp-configs")
	wants(t, lines, "ok, registry: ", "BACKWARD")
	wants(t, lines, "ok, subject coupa.suppliers-key: new: it will be registered, with the level BACKWARD")
	wants(t, lines, "ok, subject coupa.suppliers-value: new")

	reading := []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata, kmsg.SASLHandshake, kmsg.SASLAuthenticate, kmsg.FindCoordinator, kmsg.DescribeGroups,
		kmsg.DescribeTransactions, kmsg.DescribeACLs, kmsg.DescribeConfigs}
	for _, req := range r.kafka {
		if create, is := req.(*kmsg.CreateTopicsRequest); is && create.ValidateOnly {
			continue
		}
		if !slices.Contains(reading, kmsg.Key(req.Key())) {
			t.Errorf("the brokers were sent %T", req)
		}
		if meta, is := req.(*kmsg.MetadataRequest); is && meta.AllowAutoTopicCreation {
			t.Error("asking for topics may make them")
		}
	}
	for _, asked := range r.asked {
		if strings.HasPrefix(asked, "GET ") || strings.HasPrefix(asked, "POST /compatibility/") ||
			strings.HasPrefix(asked, "POST /subjects/") && strings.Count(asked, "/") == 2 { // a look-up
			continue
		}
		t.Errorf("the registry was sent %s", asked)
	}
	if _, err := os.Stat(r.worker["state.dir"]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state.dir is there: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(r.worker["state.dir"]), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// allow is an ACL of worker's.
func allow(resource kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
	return kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: op, Allow: true}
}

func TestEachRightIsTried(t *testing.T) {
	t.Parallel()
	const (
		topic   = kmsg.ACLResourceTypeTopic
		group   = kmsg.ACLResourceTypeGroup
		ids     = kmsg.ACLResourceTypeTransactionalId
		cluster = kmsg.ACLResourceTypeCluster
	)
	all := []kfake.ACL{
		allow(topic, "gp-", kmsg.ACLOperationRead), allow(topic, "gp-", kmsg.ACLOperationWrite), allow(topic, "gp-", kmsg.ACLOperationDescribeConfigs), allow(topic, "gp-", kmsg.ACLOperationCreate),
		allow(topic, "coupa.", kmsg.ACLOperationWrite), allow(topic, "coupa.", kmsg.ACLOperationDescribeConfigs),
		allow(group, "gp", kmsg.ACLOperationRead), allow(ids, "gp-", kmsg.ACLOperationWrite), allow(cluster, "kafka-cluster", kmsg.ACLOperationDescribe), allow(cluster, "kafka-cluster", kmsg.ACLOperationDescribeConfigs),
	}
	for _, test := range []struct {
		name    string
		without func(kfake.ACL) bool
		want    []string
	}{
		{"all are there", func(kfake.ACL) bool { return false }, []string{"ok, transactional ids gp-*: WRITE and DESCRIBE are allowed; by the ACLs"}},
		{"none for the group", func(a kfake.ACL) bool { return a.Resource == group }, []string{"not ok, group gp: ", "READ"}},
		{"none for the ids", func(a kfake.ACL) bool { return a.Resource == ids }, []string{"not ok, transactional ids gp-*: ", "may not see them", "WRITE and DESCRIBE"}},
		{"no reading of ACLs", func(a kfake.ACL) bool { return a.Resource == cluster && a.Operation == kmsg.ACLOperationDescribe },
			[]string{"not tried, transactional ids gp-*: ", "may not read ACLs"}},
		{"no reading of brokers' limits", func(a kfake.ACL) bool {
			return a.Resource == cluster && a.Operation == kmsg.ACLOperationDescribeConfigs
		},
			[]string{"not tried, limits of the brokers: ", "DESCRIBE_CONFIGS on the cluster"}},
		{"the data topic can't be seen", func(a kfake.ACL) bool { return a.Name == "coupa." && a.Operation == kmsg.ACLOperationWrite },
			[]string{"not ok, topic coupa.suppliers: this principal may not see it", "WRITE, DESCRIBE and DESCRIBE_CONFIGS"}},
		{"no limit of the data topic", func(a kfake.ACL) bool { return a.Name == "coupa." && a.Operation == kmsg.ACLOperationDescribeConfigs },
			[]string{"not tried, limits of topic coupa.suppliers: ", "DESCRIBE_CONFIGS"}},
		{"checkpoints can't be read", func(a kfake.ACL) bool { return a.Name == "gp-" && a.Operation == kmsg.ACLOperationRead },
			[]string{"not ok, topic gp-checkpoints: this principal may not READ", "allow it WRITE, READ"}},
		{"nothing may be made", func(a kfake.ACL) bool { return a.Operation == kmsg.ACLOperationCreate },
			[]string{"not ok, topic gp-configs: it is not there, and this principal may not create it", "(1 partitions)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, slices.DeleteFunc(slices.Clone(all), test.without))
			compact := "compact"
			r.create("gp-checkpoints", 8, map[string]*string{"cleanup.policy": &compact})
			r.create("coupa.suppliers", 3, nil)
			lines := r.try()
			wants(t, lines, test.want...)
			if strings.HasPrefix(test.want[0], "not ok") {
				lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, test.want[0]) })
			}
			wantNone(t, lines, preflight.NotOK)
		})
	}
}

// In a new cluster a coordinator takes a moment; and brokers may have no authorizer at all.
func TestACoordinatorIsWaitedForAndBrokersMayAllowAll(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.cluster.ControlKey(int16(kmsg.FindCoordinator), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.refused++; r.refused > 4 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
		for _, key := range req.(*kmsg.FindCoordinatorRequest).CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.ErrorCode = key, kerr.CoordinatorNotAvailable.Code
			resp.Coordinators = append(resp.Coordinators, c)
		}
		return resp, nil, true
	})
	r.cluster.ControlKey(int16(kmsg.DescribeACLs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeACLsResponse)
		resp.ErrorCode = kerr.SecurityDisabled.Code
		return resp, nil, true
	})
	lines := r.try()
	wantNone(t, lines, preflight.NotOK)
	wantNone(t, lines, preflight.NotTried)
	wants(t, lines, "ok, group gp: READ is allowed")
	wants(t, lines, "ok, transactional ids gp-*: WRITE and DESCRIBE are allowed; these brokers have no authorizer")
	if r.refused <= 4 {
		t.Errorf("asked for a coordinator %d times", r.refused)
	}
}

func TestWhatDoesNotFitIsToldWithTheRemedy(t *testing.T) {
	t.Parallel()
	two, deletes := "2", "delete"
	for _, test := range []struct {
		name string
		opts []kfake.Opt
		make func(r *rig)
		want []string
	}{
		{"checkpoints would be deleted", nil, func(r *rig) { r.create("gp-checkpoints", 8, map[string]*string{"cleanup.policy": &deletes}) },
			[]string{"not ok, topic gp-checkpoints: its cleanup.policy is delete", "set it to compact"}},
		{"the config topic has an order in one partition alone", nil, func(r *rig) { r.create("gp-configs", 2, nil) },
			[]string{"not ok, topic gp-configs: it has 2 partitions"}},
		{"nothing can be acknowledged", nil, func(r *rig) { r.create("coupa.suppliers", 3, map[string]*string{"min.insync.replicas": &two}) },
			[]string{"not ok, topic coupa.suppliers: min.insync.replicas is 2 with 1 replicas"}},
		{"more replicas than brokers", nil, func(r *rig) { r.worker["topic.creation.default.replication.factor"] = "3" },
			[]string{"not ok, topic coupa.suppliers: ", "replication.factor=3", "number of brokers"}},
		{"transactions may not take so long", []kfake.Opt{kfake.BrokerConfigs(map[string]string{"transaction.max.timeout.ms": "30000"})}, func(*rig) {},
			[]string{"not ok, limits of the brokers: transaction.max.timeout.ms is 30000, and at least 60000"}},
		{"a wrong password", nil, func(r *rig) { r.worker["sasl.password"] = "another" },
			[]string{"not ok, brokers: ", "sasl."}},
		{"the registry can't be written to", nil, func(r *rig) {
			cl, _ := sr.NewClient(sr.URLs(r.worker["schema.registry.url"]))
			cl.SetMode(r.t.Context(), sr.ModeReadOnly)
		}, []string{"not ok, registry: its mode is READONLY", "READWRITE"}},
		{"no registry there", nil, func(r *rig) { r.worker["schema.registry.url"] = "http://127.0.0.1:1" },
			[]string{"not ok, registry: ", "schema.registry.url"}},
		{"a schema that may not follow", nil, func(r *rig) {
			r.register("coupa.suppliers-value")
			r.asked, r.verdicts["coupa.suppliers-value"] = nil, true
		}, []string{"not ok, schemas of acme suppliers: ", "BACKWARD", "READER_FIELD_MISSING", "topic.template"}},
		{"a subject that can't be written to", nil, func(r *rig) {
			r.register("coupa.suppliers-value")
			if err := r.registry.SetMode("coupa.suppliers-value", sr.ModeReadOnly); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"not ok, schemas of acme suppliers: ", "it is READONLY", "READWRITE"}},
		{"a schema that is not there, and is not to be registered", nil, func(r *rig) { r.connector["auto.register.schemas"] = "false" },
			[]string{"not ok, schemas of acme suppliers: ", "coupastream schema prints it"}},
		{"a webhook that nobody answers", nil, func(r *rig) { r.worker["notifications.webhook.url"] = "http://127.0.0.1:1/hunter2" },
			[]string{"not ok, webhook 127.0.0.1:1: ", "notifications.webhook.url"}},
		{"state.dir is a file", nil, func(r *rig) {
			r.worker["state.dir"] = filepath.Join(r.t.TempDir(), "file")
			if err := os.WriteFile(r.worker["state.dir"], nil, 0o600); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"not ok, state.dir: ", "give a folder"}},
		{"a port is taken", nil, func(r *rig) {
			var lc net.ListenConfig
			l, err := lc.Listen(context.WithoutCancel(r.t.Context()), "tcp", "127.0.0.1:0")
			if err != nil {
				r.t.Fatal(err)
			}
			go func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					_ = c.Close()
				}
			}()
			r.t.Cleanup(func() { _ = l.Close() })
			r.worker["listeners"] = "http://" + l.Addr().String()
		}, []string{"not ok, listener http://127.0.0.1:", "in use"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil, test.opts...)
			test.make(r)
			wants(t, r.try(), test.want...)
		})
	}
}
