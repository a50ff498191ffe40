package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas/mapping"
)

// Connector is the configuration of one Coupa instance.
type Connector struct {
	File           string // the path that it was read from; "" when it came over REST
	Submitted      bool   // it came over REST: see ParseSubmitted
	Name           string
	Class          string
	Tenant         string
	URL            string // scheme and host, without a trailing slash
	ClientID       string
	ClientSecret   coupa.Secret
	Scope          string // separated by spaces; what the objects need when the user gave none
	TokenPath      string
	Objects        []Object // in the order of coupa.objects
	RateAuto       bool     // coupa.rate.limit is auto: it is found, at most RateMax
	RateLimit      float64  // otherwise, requests a second; 0: no limit
	RateMax        float64
	PollShare      float64 // of the rate, for polls by auto
	RequestTimeout time.Duration
	InitialState   string // RUNNING, PAUSED, STOPPED

	Raw map[string]string // as given, references unresolved, plain secrets included: see Echo

	Notifications Notifications // see Over

	MappingFile string       // "" for none, or one in the key mapping
	HashKey     coupa.Secret `json:",omitempty"` // of hashed fields

	tasksMax int
	paths    []string
	mapping  *mapping.Layer
}

// Host is that of the instance: who shares it shares what Coupa grants.
func (c *Connector) Host() string {
	_, host, _ := strings.Cut(c.URL, "://")
	return strings.ToLower(host)
}

// LoadConnector reads a connector file. The error is Problems.
func LoadConnector(path string, env Lookup) (*Connector, error) {
	doc, problems := readDocument(path)
	if len(doc.values) == 0 && len(problems) > 0 {
		return nil, problems
	}
	return parseConnector(doc, problems, env)
}

// ParseConnector reads a connector configuration that is not in a file. The error is Problems.
func ParseConnector(raw map[string]string, env Lookup) (*Connector, error) {
	return parseConnector(document{values: raw}, nil, env)
}

// Outline is what a configuration says without what references lead to: which tenant,
// objects and topics. It is for who can't follow those of its secrets; nil if there is
// more that can't be read. It follows no reference, reads no file, and has no webhook.
func Outline(raw map[string]string) *Connector {
	public := maps.Clone(raw)
	for name, value := range raw {
		k, _ := LookupConnectorKey(name)
		switch {
		case k.Name == mappingFileKey:
			return nil
		case k.Name == webhookURLKey || k.Name == webhookSecretKey:
			delete(public, name)
		case !hasReference(value):
		case k.Secret() || k.Name == "coupa.client.id":
			public[name] = strings.Repeat("?", leastHashKey) // long enough for each
		default:
			return nil
		}
	}
	c, err := ParseConnector(public, func(string) (string, bool) { return "", false })
	if err != nil {
		return nil
	}
	c.Raw = raw
	return c
}

func parseConnector(doc document, problems Problems, env Lookup) (*Connector, error) {
	known, keys := connectorNames()
	v := resolveAll(doc, problems, keys, env)
	if v.haveOverrides() {
		v.wholeConnector()
	}
	v.unknown(known, WorkerKeys(), "worker")
	c := &Connector{File: doc.file, Submitted: doc.worker != nil, Raw: doc.values}
	fill(v, c, connectorSettings())
	if _, given := v.raw["tenant"]; !given && !v.problems.touch("coupa.url") {
		c.Tenant = tenantOf(c.URL)
		if c.Tenant == "" {
			v.problem("tenant", "", "cannot be derived from coupa.url", "give a tenant")
		}
	}
	c.checkSubmitted(v)
	c.readObjects(v)
	c.readMapping(v)
	if c.Scope == "" {
		c.Scope = strings.Join(append(coupa.Scopes(c.paths), coupa.WriteScopes(c.marked())...), " ")
	}
	if err := v.problems.orNil(); err != nil {
		return nil, err
	}
	return c, nil
}

// marked lists the objects whose rows are marked as exported.
func (c *Connector) marked() (paths []string) {
	for _, o := range c.Objects {
		if o.ExportedMode == ExportedMark {
			paths = append(paths, o.Path)
		}
	}
	return paths
}

// Limiter makes the limiter of the connector's instance.
func (c *Connector) Limiter() *coupa.Limiter {
	if c.RateAuto {
		return coupa.NewAutoLimiter(c.RateMax)
	}
	return coupa.NewLimiter(c.RateLimit)
}

// MostRequests is the most requests a second that the limiter ever allows; 0: there is no limit.
func (c *Connector) MostRequests() float64 {
	if c.RateAuto {
		return c.RateMax
	}
	return c.RateLimit
}

// Pace says in words what limiter the connector asks for: the same ones mean the same.
func (c *Connector) Pace() string {
	if c.RateAuto {
		return fmt.Sprintf("auto, at most %v", c.RateMax)
	}
	return fmt.Sprint(c.RateLimit)
}

// Coupa is the part that package coupa needs for a client. The limiter
// is left to the caller, because all clients of one instance share one.
//
// Scopes that follow from the objects are asked for as far as they are granted: an object
// without its scope fails by itself. Those that were written down are asked for as they are.
func (c *Connector) Coupa() coupa.Config {
	_, given := c.Raw["coupa.scope"]
	rows := map[string]int64{}
	for _, o := range c.Objects {
		rows[o.Path] = int64(o.RowBytes)
	}
	return coupa.Config{
		URL:            c.URL,
		ClientID:       c.ClientID,
		ClientSecret:   c.ClientSecret,
		TokenPath:      c.TokenPath,
		Scopes:         strings.Fields(c.Scope),
		AnyScope:       !given,
		RequestTimeout: c.RequestTimeout,
		RowBytesOf:     rows,
	}
}

// Echo is the configuration as it was given, with references as they were written and [hidden] in
// place of every secret that was written out, and of what follows the host of a webhook's address.
func (c *Connector) Echo() map[string]string {
	_, keys := connectorNames()
	echo := make(map[string]string, len(c.Raw))
	for name, raw := range c.Raw {
		echo[name] = veiled(keys(name), raw)
	}
	return echo
}

// tenantOf is the first label of the URL's host.
func tenantOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	label, _, _ := strings.Cut(u.Hostname(), ".")
	return label
}

// coupaURL checks and stores the instance's address: https,
// or http to this machine, and nothing behind the host.
func coupaURL(c *Connector, value string) *fault {
	if f := httpURL(value); f != nil {
		f.remedy = "write e.g. https://acme.coupahost.com"
		return f
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || strings.Trim(u.Path, "/") != "":
		return &fault{"holds a path", "end the URL behind the host: " + u.Scheme + "://" + u.Host}
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return &fault{"http:// is for this machine only, because a token must not travel in clear", "write https://" + u.Host}
	}
	c.URL = u.Scheme + "://" + u.Host
	return nil
}

// loopback tells whether host can only be this machine.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || strings.EqualFold(host, "localhost")
}

// objectPaths checks and stores coupa.objects.
func objectPaths(c *Connector, value string) *fault {
	var paths, unknown, near []string
	collect := texts(func(*Connector) *[]string { return &paths }, func(path string) *fault {
		if _, known := coupa.LookupResource(path); !known {
			unknown = append(unknown, path)
			if len(unknown) <= mostSuggested {
				if one := objectMeant(path); one != "" {
					near = append(near, one)
				}
			}
		}
		return nil
	})
	if f := collect(c, value); f != nil {
		return f
	}
	if len(unknown) > 0 {
		var remedies []string
		if len(near) > 0 {
			remedies = append(remedies, "did you mean "+strings.Join(near, ", ")+"?")
		}
		if len(near) < len(unknown) {
			remedies = append(remedies, "coupastream objects lists what there is, by Coupa's names")
		}
		return &fault{"unknown object " + strings.Join(unknown, ", "), strings.Join(remedies, " ")}
	}
	for i, path := range paths {
		if slices.Contains(paths[:i], path) {
			return &fault{"names " + path + " twice", "name each object once"}
		}
	}
	c.paths = paths
	return nil
}

// catalogue lists the paths of all objects.
func catalogue() []string {
	var paths []string
	for _, r := range coupa.Resources() {
		paths = append(paths, r.Path)
	}
	return paths
}

// scopes accepts what people write between scopes; Coupa wants spaces.
func scopes(c *Connector, value string) *fault {
	c.Scope = strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }), " ")
	return nil
}

// connectorName refuses what could not be addressed in a URL of the REST
// API: proxies and clients undo escapes, and take dots for folders.
func connectorName(value string) *fault {
	switch {
	case strings.ContainsAny(value, "/%?#\\;") || strings.ContainsFunc(value, unicode.IsControl) || !utf8.ValidString(value):
		return &fault{"holds a character that a REST path can't carry", "use letters, digits, '.', '_' and '-'"}
	case value == "." || value == "..":
		return &fault{"is a folder in a REST path", "use letters, digits, '.', '_' and '-'"}
	case len(value) > 200:
		return &fault{"is longer than 200 bytes", "give a shorter one"}
	}
	return nil
}

// tenantName refuses control characters and overlong names: a tenant stands in every key and header.
func tenantName(value string) *fault {
	if oneLine(value) != value || len(value) > 200 {
		return &fault{"not a tenant's name", "use up to 200 printable characters"}
	}
	return nil
}

// absolutePath checks the path of a URL.
func absolutePath(value string) *fault {
	if !strings.HasPrefix(value, "/") || strings.ContainsAny(value, "?# ") {
		return &fault{"not a path", "write e.g. /oauth2/token"}
	}
	return nil
}
