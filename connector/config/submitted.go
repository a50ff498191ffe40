package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/coupastream/coupastream/connector/egress"
)

// ParseSubmitted reads the configuration of a connector that came over REST. The error is Problems.
//
// Who may make connectors over REST is not for that allowed to read the files and the environment of
// the worker, or to send what stands there to anybody. So secrets must be references, references
// lead to what the worker's file allows and are taken in secrets, the client's id and a webhook's
// address alone, since other values are shown; no other file is read; and the host is one of those
// that the worker's file allows. What that means for addresses is the policy's business: see Egress.
func (w *Worker) ParseSubmitted(raw map[string]string, env Lookup) (*Connector, error) {
	return parseConnector(document{values: raw, worker: w}, nil, env)
}

// Egress is where connectors that came over REST may send requests.
func (w *Worker) Egress() egress.Policy {
	p := egress.Policy{Hosts: w.EgressHosts}
	if w.AllowPrivate != nil {
		p.Private = *w.AllowPrivate
	} else {
		p.Loopback = w.Local()
	}
	return p
}

// Local tells whether all listeners are on loopback, so that who uses the REST API is on this machine.
func (w *Worker) Local() bool {
	return !slices.ContainsFunc(w.Listeners, func(l string) bool { return !LocalListener(l) })
}

// LocalListener tells whether a listener is on loopback.
func LocalListener(address string) bool {
	u, err := url.Parse(address)
	return err == nil && loopback(u.Hostname())
}

// provided is what references may lead to.
type provided struct {
	env            *regexp.Regexp
	files, folders []string
}

// submitted tells what is wrong with a value of a connector
// that came over REST, before its references are resolved.
func (v *values) submitted(k Key, raw string) *fault {
	_, declared := LookupConnectorKey(k.Name)
	switch {
	case v.worker == nil || k.Secret() && onlyReferences(raw) || k.Secret() && raw == "":
	case !declared && !hasReference(raw): // it is told to be unknown
	case k.Secret():
		return &fault{"is written out, and would be kept in the config topic", "write a reference, e.g. ${env:COUPA_CLIENT_SECRET}"}
	case k.Name == webhookURLKey && (onlyReferences(raw) || !hasReference(raw)):
	case hasReference(raw) && k.Name != "coupa.client.id":
		return &fault{"is shown to everybody who may read, and a reference would show what it leads to",
			"write the value itself: over REST references are for secrets, coupa.client.id and notifications.webhook.url as a whole"}
	case k.Name == mappingFileKey:
		return &fault{"reads a file of the worker", "give its content in " + mappingKey}
	}
	if v.worker == nil {
		return nil
	}
	for _, reference := range referencePattern().FindAllStringSubmatch(raw, -1) {
		if f := v.worker.provided.check(reference[1], reference[3], reference[4]); f != nil {
			return f
		}
	}
	return nil
}

// check tells whether a reference may be followed. What it leads to is not
// looked at otherwise, so that an answer tells nothing about other files.
func (p provided) check(provider, path, key string) *fault {
	switch provider {
	case "env":
		if !p.env.MatchString(key) {
			return &fault{"connectors made over REST may not read the environment variable " + key,
				"give one that matches config.providers.env.param.allowlist.pattern (" + strings.TrimSuffix(strings.TrimPrefix(p.env.String(), "^(?:"), ")$") + "), or change that in the worker's file"}
		}
	case "file":
		if path != "" && !withinAny(path, p.files) {
			return outside(path, "config.providers.file.param.allowed.paths", p.files)
		}
	case "dir":
		if path != "" && !withinAny(path+"/"+key, p.folders) {
			return outside(path, "config.providers.dir.param.allowed.paths", p.folders)
		}
	}
	return nil
}

func outside(path, key string, allowed []string) *fault {
	return &fault{"connectors made over REST may not read " + path,
		fmt.Sprintf("give a file of %s (%s), or add it to that in the worker's file", key, strings.Join(allowed, ", "))}
}

// withinAny tells whether a file is one of the paths or within one, after all symbolic links:
// folders of mounted secrets are made of them. A file that is not there is judged by its
// name. One with ".." is nowhere: where that leads depends on the links before it.
func withinAny(file string, paths []string) bool {
	if slices.Contains(strings.Split(filepath.ToSlash(file), "/"), "..") {
		return false
	}
	for _, path := range paths {
		if within(filepath.Clean(path), filepath.Clean(file)) && within(resolveLinks(path), resolveLinks(file)) {
			return true
		}
	}
	return false
}

func within(path, file string) bool {
	return filepath.IsAbs(file) && (file == path || strings.HasPrefix(file, strings.TrimSuffix(path, "/")+"/"))
}

// resolveLinks follows the symbolic links of a path as far as it exists.
func resolveLinks(path string) string {
	path = filepath.Clean(path)
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(resolveLinks(parent), filepath.Base(path))
}

// checkSubmitted looks at the hosts.
func (c *Connector) checkSubmitted(v *values) {
	if v.worker == nil {
		return
	}
	v.checkHost("coupa.url", c.URL)
	v.checkHost(webhookURLKey, c.Notifications.WebhookURL)
}

// checkHost wants the host of an address to be one that connectors over REST may reach.
func (v *values) checkHost(key, address string) {
	u, err := url.Parse(address)
	if err != nil || address == "" || v.problems.touch(key) {
		return // what is wrong with it is told already
	}
	var refused *egress.Error
	if err := v.worker.Egress().CheckHost(u.Hostname()); errors.As(err, &refused) {
		v.problem(key, shown(v.key(key), v.raw[key]), refused.Reason, refused.Remedy)
	}
}
