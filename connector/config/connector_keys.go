package config

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// ConnectorKeys is the declaration of every key of a connector, in the order of the
// reference; those with PerObject set may also be given as object.<path>.<name>.
func ConnectorKeys() []Key { return append(keysOf(connectorSettings()), keysOf(objectSettings())...) }

// connectorSettings is the table of keys that hold for a whole Coupa instance.
var connectorSettings = sync.OnceValue(func() []setting[Connector] {
	return slices.Concat(grouped("Common", identitySettings()), grouped("Coupa", instanceSettings()), grouped("Mapping", mappingSettings()),
		grouped("Notifications", notificationSettings(func(c *Connector) *Notifications { return &c.Notifications })))
})

// ConnectorClass is the one value of connector.class.
const ConnectorClass = "CoupaSource"

func identitySettings() []setting[Connector] {
	return []setting[Connector]{
		{Key{Name: "name", Type: String, Importance: High, Required: true, Example: "acme", Doc: "The connector's name, unique among a group's workers."},
			text(func(c *Connector) *string { return &c.Name }, connectorName)},
		{Key{Name: "connector.class", Type: String, Importance: High, Default: ConnectorClass, Values: []string{ConnectorClass},
			Doc: "The kind of connector."},
			text(func(c *Connector) *string { return &c.Class })},
		{Key{Name: "tasks.max", Type: Int, Importance: Low, Derived: "any",
			Doc: "Accepted for tools that set it; there is one task per object whatever it says."},
			whole(func(c *Connector) *int { return &c.tasksMax }, 1, math.MaxInt32)},
		{Key{Name: "tenant", Type: String, Importance: High, Derived: "first label of the URL's host",
			Doc: "Name of the Coupa instance in keys, headers and metrics."},
			text(func(c *Connector) *string { return &c.Tenant }, tenantName)},
		{Key{Name: "initial_state", Type: String, Importance: Low, Default: "RUNNING", Values: []string{"RUNNING", "PAUSED", "STOPPED"},
			Doc: "State in which a new connector begins."},
			text(func(c *Connector) *string { return &c.InitialState })},
	}
}

// defaultObjects are what most companies want first.
const defaultObjects = "invoices, purchase_orders, suppliers, requisitions, expense_reports, contracts, users"

func instanceSettings() []setting[Connector] {
	return []setting[Connector]{
		{Key{Name: "coupa.url", Type: String, Importance: High, Required: true, Example: "https://acme.coupahost.com",
			Doc: "Address of the Coupa instance; `http://` only to this machine."}, coupaURL},
		{Key{Name: "coupa.client.id", Type: String, Importance: High, Required: true, Example: "${env:COUPA_CLIENT_ID}",
			Doc: "OAuth 2 client (client credentials), made in Coupa at /oauth2/clients."},
			text(func(c *Connector) *string { return &c.ClientID })},
		{Key{Name: "coupa.client.secret", Type: Password, Importance: High, Required: true, Example: "${env:COUPA_CLIENT_SECRET}",
			Doc: "Secret of that client."},
			secret(func(c *Connector) *coupa.Secret { return &c.ClientSecret })},
		{Key{Name: "coupa.scope", Type: String, Importance: Low, Derived: "what the objects need",
			Doc: "Scopes to ask for, separated by spaces."}, scopes},
		{Key{Name: "coupa.token.path", Type: String, Importance: Low, Default: "/oauth2/token", Doc: "Path of the token endpoint."},
			text(func(c *Connector) *string { return &c.TokenPath }, absolutePath)},
		{Key{Name: "coupa.objects", Type: List, Importance: High, Default: defaultObjects,
			Doc: "Objects to stream: resource paths by comma (`coupastream objects` lists them)."}, objectPaths},
		{Key{Name: "coupa.rate.limit", Type: String, Importance: Medium, Default: "auto", Example: "15",
			Doc: "Most requests a second to this instance, all objects together (Coupa documents 25): a number, 0: no limit, `auto`: what others leave over, found by latency, at most `coupa.rate.limit.max`."},
			orAuto(func(c *Connector) *bool { return &c.RateAuto }, rate(func(c *Connector) *float64 { return &c.RateLimit }, true))},
		{Key{Name: "coupa.rate.limit.max", Type: Double, Importance: Low, Default: "25",
			Doc: "Most requests a second where `coupa.rate.limit` is `auto`; not used where that is a number."},
			rate(func(c *Connector) *float64 { return &c.RateMax }, false)},
		{Key{Name: "poll.rate.share", Type: Double, Importance: Low, Default: "0.2",
			Doc: "Share of the rate of requests that polls by `poll.interval.ms=auto` use."},
			fraction(func(c *Connector) *float64 { return &c.PollShare }, 0.001)},
		{Key{Name: "coupa.request.timeout.ms", Type: Long, Importance: Low, Default: "60000",
			Doc: "Longest silence of Coupa within a request."},
			millis(func(c *Connector) *time.Duration { return &c.RequestTimeout }, 1)},
	}
}

func mappingSettings() []setting[Connector] {
	return []setting[Connector]{
		{Key{Name: mappingFileKey, Type: String, File: true, Importance: Medium, Example: "acme-mapping.yaml",
			Doc: "YAML file with rules for the fields of objects; they lie over those of the worker's mapping.file, field by field."},
			text(func(c *Connector) *string { return &c.MappingFile })},
		{Key{Name: mappingKey, Type: String, Importance: Medium, Example: "objects: {invoices: {leave-out: [image-scan]}}",
			Doc: "The content of such a file, in place of mapping.file."},
			// readMapping takes it untrimmed: YAML counts spaces
			func(*Connector, string) *fault { return nil }},
		{Key{Name: hashKey, Type: Password, Importance: Medium, Example: "${env:COUPASTREAM_HASH_KEY}",
			Doc: "Key of the hashes that a mapping puts in place of values, of at least 16 characters; required if it hashes. Another key gives other hashes."},
			hashSecret},
	}
}
