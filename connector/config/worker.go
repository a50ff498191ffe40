package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas/mapping"
)

// Worker is a worker file's content.
type Worker struct {
	File             string // the path that it was read from
	BootstrapServers []string
	Security         Security
	Registry         Registry
	GroupID          string // the consumer group, and prefix of the transactional ids
	StateDir         string
	Listeners        []string // http:// and https:// URLs of the REST API
	ListenerCert     string   // PEM files for https listeners
	ListenerKey      string
	// ListenerClientAuth is none, requested or required:
	// whether https listeners ask for a client's certificate.
	ListenerClientAuth string
	// PEM file with the authorities of clients' certificates and of other workers' listeners
	ListenerCA string

	// accounts of the REST API; "": there are none, everybody may do everything
	AuthFile  string
	OpenPaths []string // that need no account, besides /livez and /readyz
	Hooks     bool     // the doorbell is there
	// agents of administrators may change something
	AgentsChange bool
	// of requests to other workers in this one's own name; "" for none
	ForwardToken coupa.Secret `json:",omitempty"`
	AllowedHosts []string     // names of loopback listeners besides this machine's
	AllowOrigins []string     // of web pages elsewhere; "*" for all
	AllowMethods []string     // that these may use; none: GET, HEAD, POST

	EgressHosts  []string // see Egress
	AllowPrivate *bool    // nil: see Egress
	provided     provided

	AdvertisedListener string // http or https; "" for that of the first listener
	AdvertisedHost     string // "" for that of the listener
	AdvertisedPort     int    // 0 for that of the listener

	GroupInstanceID   string // of a static member; "" for a dynamic one
	SessionTimeout    time.Duration
	HeartbeatInterval time.Duration

	CheckpointTopic      string
	CheckpointPartitions int
	CheckpointLost       string // LostFail, LostLocal or LostAnew
	ConfigTopic          string
	CommitInterval       time.Duration
	Compression          string // of records: none, gzip, snappy, lz4, zstd

	TopicPartitions  int // of data topics that are created; -1: the broker's default
	TopicReplication int // -1: the broker's default
	TopicCleanup     string

	MappingFile string // "" for none

	MetricsPerObject string // PerObjectAuto, PerObjectAlways or PerObjectNever

	Notifications Notifications

	Raw map[string]string // as given, references unresolved, plain secrets included: see Echo

	LineageURL string       // where OpenLineage events go; "" for none
	LineageKey coupa.Secret `json:",omitempty"` // "" for none

	TracesEndpoint string  // "" for none
	TracesRatio    float64 // of traces that are sent

	mapping *mapping.Layer
}

// Values of checkpoint.lost.
const (
	LostFail  = "fail"
	LostLocal = "local"
	LostAnew  = "anew"
)

// Values of metrics.per.object.
const (
	PerObjectAuto   = "auto"
	PerObjectAlways = "true"
	PerObjectNever  = "false"
)

// Registry is how to reach the schema registry.
type Registry struct {
	URLs     []string
	Username string // "" for no authentication
	Password coupa.Secret
	CA       string // PEM file; "" for the system's roots
	// Check is how often a schema's id is looked up again
	Check time.Duration
}

// Security is how to reach the brokers.
type Security struct {
	Protocol  string // PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
	Mechanism string // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; "" without SASL
	Username  string
	Password  coupa.Secret
	CA        string // PEM files; CA "" means the system's roots
	Cert      string
	Key       string
	OAuth     OAuth
}

// Identity names the keys that say who logs in.
func (s Security) Identity() string {
	if s.Mechanism == "OAUTHBEARER" {
		return "sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret"
	}
	return "sasl.username and sasl.password"
}

// OAuth is where the tokens for SASL/OAUTHBEARER come from: OAuth 2 client credentials.
type OAuth struct {
	TokenURL     string
	ClientID     string
	ClientSecret coupa.Secret
	Scope        string // separated by spaces; "" to ask for none
}

// LoadWorker reads a worker file. The error is Problems.
func LoadWorker(path string, env Lookup) (*Worker, error) {
	doc, problems := readDocument(path)
	if len(doc.values) == 0 && len(problems) > 0 {
		return nil, problems
	}
	return parseWorker(doc, problems, env)
}

// ParseWorker reads a worker configuration that is not in a file. The error is Problems.
func ParseWorker(raw map[string]string, env Lookup) (*Worker, error) {
	return parseWorker(document{values: raw}, nil, env)
}

func parseWorker(doc document, problems Problems, env Lookup) (*Worker, error) {
	keys := WorkerKeys()
	v := resolveAll(doc, problems, keyNamed(keys), env)
	v.unknown(names(keys), ConnectorKeys(), "connector")
	w := &Worker{File: doc.file, Raw: doc.values}
	fill(v, w, workerSettings())
	if w.CheckpointTopic == "" {
		w.CheckpointTopic = w.GroupID + "-checkpoints"
	}
	if w.ConfigTopic == "" {
		w.ConfigTopic = w.GroupID + "-configs"
	}
	checkSecurity(v, w.Security)
	checkTopics(v, w)
	checkSession(v, w)
	checkListeners(v, w)
	w.readMapping(v)
	if err := v.problems.orNil(); err != nil {
		return nil, err
	}
	return w, nil
}

// checkSecurity looks at the keys for the brokers together: nothing may be missing, and nothing may be
// given that the protocol would leave unused, because that is most often a forgotten security.protocol.
func checkSecurity(v *values, s Security) {
	if v.problems.touch("security.protocol", "sasl.mechanism") {
		return
	}
	sasl, tls := strings.HasPrefix(s.Protocol, "SASL_"), strings.HasSuffix(s.Protocol, "SSL")
	oauth := sasl && s.Mechanism == "OAUTHBEARER"
	password := sasl && s.Mechanism != "" && !oauth
	by := "with security.protocol=" + s.Protocol
	v.together(sasl, by, need{"sasl.mechanism", true})
	v.together(tls, by, need{"ssl.ca.location", false}, need{"ssl.certificate.location", s.Key != ""}, need{"ssl.key.location", s.Cert != ""})
	if s.Mechanism != "" && sasl {
		by += " and sasl.mechanism=" + s.Mechanism
	}
	v.together(password, by, need{"sasl.username", true}, need{"sasl.password", true})
	v.together(oauth, by, need{"sasl.oauthbearer.token.endpoint.url", true}, need{"sasl.oauthbearer.client.id", true},
		need{"sasl.oauthbearer.client.secret", true}, need{"sasl.oauthbearer.scope", false})
}

// need is a key that a condition makes required, or merely allows.
type need struct {
	key      string
	required bool
}

// together reports needed keys that are not given while the
// condition holds, and keys that are given while it doesn't.
func (v *values) together(holds bool, by string, needs ...need) {
	for _, n := range needs {
		_, given := v.raw[n.key]
		switch {
		case v.problems.touch(n.key):
		case holds && n.required && v.resolved[n.key] == "":
			v.problem(n.key, "", "required "+by, "give a value"+v.key(n.key).example())
		case !holds && given:
			v.problem(n.key, "", "has no effect "+by, "leave it out, or change what it depends on")
		}
	}
}

// checkTopics keeps the worker's own topics apart and their names legal.
func checkTopics(v *values, w *Worker) {
	if v.problems.touch("group.id", "checkpoint.topic", "config.storage.topic") {
		return
	}
	if w.CheckpointTopic == w.ConfigTopic {
		v.problem("config.storage.topic", w.ConfigTopic, "is the checkpoint topic too", "give two different topics")
	}
	if what := w.topics()[w.Notifications.Topic]; w.Notifications.Topic != "" && what != notifications && !v.problems.touch(notificationTopicKey) {
		v.problem(notificationTopicKey, w.Notifications.Topic, "is where the worker puts "+what, "name another topic")
	}
	if f := topicName(w.CheckpointTopic); f != nil {
		v.problem("group.id", w.GroupID, "too long for the topic "+fmt.Sprintf("%.20s…-checkpoints", w.GroupID), "shorten it")
	}
}

// topics are those that the worker itself writes to, with what it puts there.
func (w *Worker) topics() map[string]string {
	all := map[string]string{w.Notifications.Topic: notifications}
	delete(all, "")
	all[w.CheckpointTopic], all[w.ConfigTopic] = "its checkpoints", "the configuration of connectors"
	return all
}

// checkSession leaves room for at least one lost heartbeat before a worker is given up for dead.
func checkSession(v *values, w *Worker) {
	if v.problems.touch("session.timeout.ms", "heartbeat.interval.ms") || w.HeartbeatInterval < w.SessionTimeout/2 {
		return
	}
	v.problem("heartbeat.interval.ms", fmt.Sprint(w.HeartbeatInterval.Milliseconds()),
		fmt.Sprintf("not less than half of session.timeout.ms=%d: one late heartbeat would cost the worker its shards", w.SessionTimeout.Milliseconds()),
		"give a tenth of session.timeout.ms, or raise that")
}

// instanceID checks what the brokers do: the rules for an instance id are those for a topic's name.
func instanceID(value string) *fault {
	if topicName(value) != nil {
		return &fault{"not an id that Kafka takes for a static member", "use up to 249 letters, digits, '.', '_' and '-', e.g. worker-1"}
	}
	return nil
}

// checkListeners wants a certificate where there is an https listener, and only there.
func checkListeners(v *values, w *Worker) {
	secure := false
	for _, l := range w.Listeners {
		u, err := url.Parse(l)
		secure = secure || err == nil && u.Scheme == "https"
	}
	by := "with no https:// in listeners"
	if secure {
		by = "with an https:// listener"
	}
	v.together(secure, by, need{"listeners.https.ssl.certificate.location", true}, need{"listeners.https.ssl.key.location", true},
		need{"listeners.https.ssl.ca.location", w.ListenerClientAuth != "none"}, need{"listeners.https.ssl.client.auth", false})
	v.together(w.AuthFile != "", "without rest.auth.file", need{"rest.auth.open.paths", false})
	v.together(len(w.AllowOrigins) > 0, "without access.control.allow.origin", need{"access.control.allow.methods", false})
}

// userInfo fills the registry's user and password from user:password.
func userInfo(w *Worker, value string) *fault {
	user, password, found := strings.Cut(value, ":")
	if value != "" && (!found || user == "") {
		return &fault{"not user:password", "write both with a colon between them, e.g. ${env:SCHEMA_REGISTRY_USER_INFO}"}
	}
	w.Registry.Username, w.Registry.Password = user, coupa.Secret(password)
	return nil
}

// listenerURL checks scheme://host:port. An empty host listens on all interfaces.
func listenerURL(value string) *fault {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || u.Path != "" || u.User != nil || u.RawQuery != "" {
		return &fault{"not the URL of a listener", "write scheme, host and port, e.g. http://127.0.0.1:8083"}
	}
	return nil
}

// cleanupPolicy accepts Kafka's values of cleanup.policy.
func cleanupPolicy(value string) *fault {
	for policy := range strings.SplitSeq(value, ",") {
		if policy = strings.TrimSpace(policy); policy != "delete" && policy != "compact" {
			return &fault{"not delete, compact, or both by comma", "write e.g. delete"}
		}
	}
	return nil
}
