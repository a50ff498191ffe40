package config

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/coupastream/coupastream/connector/egress"
	"github.com/coupastream/coupastream/coupa"
)

// listenerSettings say where the REST API is reached, by whom, and what those who
// use it may reach through the worker. Names are Kafka Connect's where it has one.
func listenerSettings() []setting[Worker] {
	return []setting[Worker]{
		{Key{Name: "listeners", Type: List, Importance: Medium, Default: "http://127.0.0.1:8083",
			Doc: "Where the REST API listens; several by comma."},
			texts(func(w *Worker) *[]string { return &w.Listeners }, listenerURL)},
		{Key{Name: "listeners.https.ssl.certificate.location", Type: String, File: true, Importance: Low, Example: "/etc/coupastream/rest.pem",
			Doc: "PEM file with the certificate of https listeners; read again when it changes. Requests to other workers of the group carry it too."},
			text(func(w *Worker) *string { return &w.ListenerCert })},
		{Key{Name: "listeners.https.ssl.key.location", Type: String, File: true, Importance: Low, Example: "/etc/coupastream/rest.key",
			Doc: "PEM file with the key of that certificate."},
			text(func(w *Worker) *string { return &w.ListenerKey })},
		{Key{Name: "listeners.https.ssl.client.auth", Type: String, Importance: Medium, Default: "none", Values: []string{"none", "requested", "required"},
			Doc: "Whether https listeners ask clients for a certificate. One that is given must be of listeners.https.ssl.ca.location."},
			text(func(w *Worker) *string { return &w.ListenerClientAuth })},
		{Key{Name: "listeners.https.ssl.ca.location", Type: String, File: true, Importance: Medium, Derived: "the system's roots, for other workers; none for clients",
			Doc: "PEM file with the authorities of clients' certificates, and of the other workers' listeners; read again when it changes."},
			text(func(w *Worker) *string { return &w.ListenerCA })},
		{Key{Name: "rest.auth.file", Type: String, File: true, Importance: Medium, Example: "/etc/coupastream/accounts.yaml",
			Doc: "YAML file with the users, tokens and certificates that may use the REST API, each with its role; read again when it changes. Without it everybody may do everything."},
			text(func(w *Worker) *string { return &w.AuthFile })},
		{Key{Name: "rest.auth.open.paths", Type: List, Importance: Low, Example: "/metrics, /health",
			Doc: "Which of /metrics and /health need no account; /livez and /readyz never do."},
			texts(func(w *Worker) *[]string { return &w.OpenPaths }, openPath)},
		{Key{Name: "rest.forward.token", Type: Password, Importance: Low, Example: "${file:/run/secrets/worker:token}",
			Doc: "Bearer token with which this worker asks the others of its group in its own name, as for the status page; of a read-only account of their rest.auth.file."},
			secret(func(w *Worker) *coupa.Secret { return &w.ForwardToken })},
		{Key{Name: "rest.allowed.hosts", Type: List, Importance: Low, Example: "coupastream.example.com",
			Doc: "Names by which loopback listeners are reached besides those of this machine, as through a reverse proxy that keeps the Host header."},
			texts(func(w *Worker) *[]string { return &w.AllowedHosts }, hostName)},
		{Key{Name: "hooks.enabled", Type: Boolean, Importance: Medium, Default: "false", Values: []string{"true", "false"},
			Doc: "Whether `POST /hooks/<connector>/<object>` has an object polled at once: the doorbell for call outs of Coupa's Process Automator. Accounts of the role hook of rest.auth.file may do this alone, with their password or a token of `POST /hooks/token`."},
			truth(func(w *Worker) *bool { return &w.Hooks })},
		{Key{Name: "mcp.allow.changes", Type: Boolean, Importance: Low, Default: "false", Values: []string{"true", "false"},
			Doc: "Whether agents that ask at /mcp as an account of the role admin may pause, resume and restart connectors and take snapshots. Without it they read, whatever their account."},
			truth(func(w *Worker) *bool { return &w.AgentsChange })},
		{Key{Name: "access.control.allow.origin", Type: String, Importance: Low, Example: "https://console.example.com",
			Doc: "Origin of web pages elsewhere that may use the REST API (CORS); several by comma. With * pages of everybody may read, and none may change anything."},
			origins},
		{Key{Name: "access.control.allow.methods", Type: List, Importance: Low, Derived: "GET, HEAD, POST",
			Doc: "Methods that these pages may use."},
			texts(func(w *Worker) *[]string { return &w.AllowMethods }, method)},
	}
}

// reachSettings say what a connector that came over REST may
// reach: hosts, files and variables of the environment.
func reachSettings() []setting[Worker] {
	return []setting[Worker]{
		{Key{Name: "egress.allowed.hosts", Type: List, Importance: Medium, Default: "*.coupahost.com, *.coupacloud.com",
			Doc: "Hosts that connectors made over REST may talk to: a name, *. before a name for all below it, an address, a network as 10.1.0.0/16, or * for every public host. Connectors of files may talk to any."},
			texts(func(w *Worker) *[]string { return &w.EgressHosts }, func(entry string) *fault {
				if err := egress.CheckEntry(entry); err != nil {
					return &fault{err.Error(), "write e.g. acme.coupahost.com, *.coupahost.com or 10.1.0.0/16"}
				}
				return nil
			})},
		{Key{Name: "coupa.url.allow.private", Type: Boolean, Importance: Low, Values: []string{"true", "false"}, Derived: "this machine, if all listeners are on loopback; else false",
			Doc: "Whether connectors made over REST may talk to this machine and to private networks."},
			func(w *Worker, value string) *fault {
				allow := value == "true"
				w.AllowPrivate = &allow
				return nil
			}},
		{Key{Name: "config.providers.env.param.allowlist.pattern", Type: String, Importance: Medium, Default: "COUPA(STREAM)?_.*",
			Doc: "Regular expression for the variables that ${env:…} may name in connectors made over REST."},
			func(w *Worker, value string) *fault {
				if _, err := regexp.Compile(value); err != nil {
					return &fault{"not a regular expression: " + err.Error(), "write e.g. COUPA_.*"}
				}
				// as a whole, as Kafka's EnvVarConfigProvider takes it
				w.provided.env = regexp.MustCompile("^(?:" + value + ")$")
				return nil
			}},
		{Key{Name: "config.providers.file.param.allowed.paths", Type: List, Importance: Medium, Default: defaultSecrets,
			Doc: "Files, and folders with all below them, that ${file:…} may name in connectors made over REST."},
			texts(func(w *Worker) *[]string { return &w.provided.files }, folder)},
		{Key{Name: "config.providers.dir.param.allowed.paths", Type: List, Importance: Medium, Default: defaultSecrets,
			Doc: "Folders, with all below them, that ${dir:…} may name in connectors made over REST."},
			texts(func(w *Worker) *[]string { return &w.provided.folders }, folder)},
	}
}

// defaultSecrets is where secrets of connectors are expected that come over REST.
const defaultSecrets = "/run/secrets/coupa, /etc/coupastream/secrets"

func openPath(value string) *fault {
	if value != "/metrics" && value != "/health" {
		return &fault{value + " can't be open", "give /metrics, /health, or both by comma"}
	}
	return nil
}

func hostName(value string) *fault {
	if value == "" || strings.ContainsAny(value, "/:*@ ") {
		return &fault{value + " is not the name of a host", "write e.g. coupastream.example.com, without a scheme and a port"}
	}
	return nil
}

func method(value string) *fault {
	switch value {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
		return nil
	}
	return &fault{value + " is not a method of the REST API", "give of GET, HEAD, POST, PUT, PATCH and DELETE"}
}

// origins checks and stores access.control.allow.origin.
func origins(w *Worker, value string) *fault {
	return texts(func(w *Worker) *[]string { return &w.AllowOrigins }, func(origin string) *fault {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || origin != u.Scheme+"://"+u.Host) {
			return &fault{origin + " is not an origin", "write scheme and host, e.g. https://console.example.com"}
		}
		return nil
	})(w, value)
}

func folder(value string) *fault {
	if !strings.HasPrefix(value, "/") {
		return &fault{value + " is not an absolute path", "write e.g. /etc/coupastream/secrets"}
	}
	return nil
}
