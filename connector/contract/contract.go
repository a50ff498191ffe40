package contract

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/schemas"
)

// Of makes the contract of some of a connector's objects, all of them if none is named, with a schema for
// each of their topics. Without the worker's settings, nil, it tells neither servers nor what becomes of old
// records. The error of an object that the connector does not stream is config.Problems.
func Of(settings *config.Worker, c *config.Connector, paths []string) (*Document, error) {
	objects, err := chosen(c, paths)
	if err != nil {
		return nil, err
	}
	d := &Document{
		APIVersion: APIVersion, Kind: "DataContract", ID: "coupastream:" + c.Name, Name: c.Name, Status: "active", Tenant: c.Tenant,
		Description: Description{
			Purpose: "Every change of the Coupa instance " + c.Host() + ", as it is read.",
			Usage: "Read with isolation.level=read_committed. A record is a row as it was at its updated_at; the last one of a key is the row as it is. " +
				"A null value, or the header coupa.op=delete, says that the row is gone.",
			Limitations: "Custom fields that the rows alone tell of are not listed. What has no field, or does not fit its field, is in unmapped.",
		},
	}
	for _, o := range objects {
		topics, err := topicsOf(c, o)
		if err != nil {
			return nil, err
		}
		d.Schema = append(d.Schema, topics...)
		for _, t := range topics {
			d.SLA = append(d.SLA, levels(settings, o, t.Name)...)
		}
		if server := serverOf(settings, o); server != nil && !slices.ContainsFunc(d.Servers, func(s Server) bool { return s.Server == server.Server }) {
			d.Servers = append(d.Servers, *server)
		}
	}
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	d.Version = hex.EncodeToString(sum[:6])
	return d, nil
}

func chosen(c *config.Connector, paths []string) (objects []config.Object, err error) {
	if len(paths) == 0 {
		return c.Objects, nil
	}
	var problems config.Problems
	for _, path := range paths {
		i := slices.IndexFunc(c.Objects, func(o config.Object) bool { return o.Path == path })
		if i < 0 {
			problems = append(problems, config.Problem{File: c.File, Key: "object", Value: path, Message: "no object of connector " + c.Name, Remedy: "give one of its coupa.objects"})
			continue
		}
		objects = append(objects, c.Objects[i])
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return objects, nil
}

// serverOf is the brokers with the object's format, by which readers choose how to decode.
func serverOf(settings *config.Worker, o config.Object) *Server {
	if settings == nil {
		return nil
	}
	s := &Server{Server: "kafka-" + o.ValueFormat, Type: "kafka", Host: strings.Join(settings.BootstrapServers, ","), Format: o.ValueFormat}
	s.Custom = []Custom{{"security.protocol", settings.Security.Protocol}}
	if o.NeedsRegistry() {
		s.Custom = append(s.Custom, Custom{"schema.registry.url", strings.Join(settings.Registry.URLs, ",")})
	}
	return s
}

// levels are what is promised of one topic of an object.
func levels(settings *config.Worker, o config.Object, name string) (all []SLA) {
	if o.Freshness > 0 {
		all = append(all, SLA{Property: "latency", Value: o.Freshness.Seconds(), Unit: "s", Element: name,
			Description: "Objective for the time from a change in Coupa to its record (freshness.objective.ms)."})
	}
	switch {
	case settings == nil:
	case strings.Contains(settings.TopicCleanup, "compact"):
		all = append(all, SLA{Property: "retention", Value: "unlimited", Element: name,
			Description: "The last record of each key stays, if coupastream made the topic: cleanup.policy=" + settings.TopicCleanup + "."})
	default:
		all = append(all, SLA{Property: "retention", Value: "retention.ms", Element: name,
			Description: "A record stays for as long as the topic's retention.ms says, if coupastream made the topic: cleanup.policy=" + settings.TopicCleanup + "."})
	}
	return all
}

// splitOf is the schema of an object's rows, and those of lines that have topics.
func splitOf(o config.Object) (*schemas.Split, error) {
	s, err := schemas.For(o.Path, o.SchemaOptions())
	switch {
	case err != nil:
		return nil, err
	case o.Lines == config.LinesEmbedded:
		return s.Unsplit(), nil
	}
	return s.Split(o.Lines == config.LinesBoth)
}

// topicsOf describes the topics of an object: its rows', and those of lines that have some.
func topicsOf(c *config.Connector, o config.Object) ([]Topic, error) {
	split, err := splitOf(o)
	if err != nil {
		return nil, err
	}
	all := []Topic{topicOf(c, o, split.Row, o.Topic, "", "Rows of "+o.Path+".")}
	for _, l := range split.Lists {
		all = append(all, topicOf(c, o, l.Schema, o.LineTopic(l.Name), l.Coupa, "Lines of "+o.Path+": "+l.Coupa+"."))
	}
	return all, nil
}

// topicOf describes a topic whose records have a schema; below is where its lines are, "" for rows.
func topicOf(c *config.Connector, o config.Object, s *schemas.Schema, topic, below, what string) Topic {
	t := Topic{
		Name: strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(strings.Trim(o.Path+"."+below, ".")), PhysicalName: topic, PhysicalType: "topic", LogicalType: "object", Description: what,
		Properties: describer{o.ValueFormat == config.FormatAvro, strings.TrimPrefix(below+".id", ".")}.properties(s.Members(below)),
		Quality: []Quality{
			{Type: "text", Dimension: "uniqueness", Description: "The key is the tenant and the row's id. Of each key the last record counts: among these, a key is there once."},
			{Type: "text", Dimension: "consistency", Description: "The records of a key are in one partition, in the order of the row's updated-at."},
			{Type: "text", Dimension: "uniqueness", Description: "No version of a row is there twice, but for what was asked for again (the header coupa.reason)."},
		},
		Custom: []Custom{{"key", `coupa.Key {string tenant; long id}`}, {"tenant", c.Tenant}, {"value.format", o.ValueFormat}, {"envelope", cmp.Or(o.Envelope, "none")}, {"deletes", o.Deletes}},
	}
	if o.NeedsRegistry() {
		t.Custom = append(t.Custom, Custom{"record", s.Name()}, Custom{"value.subject.name.strategy", string(o.ValueSubject)})
	}
	t.Tags = tagsIn(t.Properties, nil)
	return t
}

// tagsIn adds the tags of properties, each once and in order.
func tagsIn(all []Property, tags []string) []string {
	for _, p := range all {
		for _, tag := range p.Tags {
			if at, there := slices.BinarySearch(tags, tag); !there {
				tags = slices.Insert(tags, at, tag)
			}
		}
		tags = tagsIn(p.Properties, tags)
		if p.Items != nil {
			tags = tagsIn(p.Items.Properties, tags)
		}
	}
	return tags
}

// describer makes properties of members.
type describer struct {
	avro bool   // values are Avro, else JSON
	key  string // the path of the field that is in the key
}

func (d describer) properties(members []schemas.Member) []Property {
	all := make([]Property, len(members))
	for i, m := range members {
		p := d.typed(m)
		p.Name, p.Description, p.Required, p.Tags = m.Name, m.Doc, m.Required, m.Tags
		if m.Path != "" {
			p.BusinessName = m.Path[strings.LastIndexByte(m.Path, '.')+1:]
		}
		if m.Hidden != "" {
			p.Custom = append(p.Custom, Custom{"mapping", m.Hidden})
		}
		if m.Path == d.key {
			p.Custom = append(p.Custom, Custom{"key", "id"})
		}
		all[i] = p
	}
	return all
}

// logical are the standard's types, by Avro's; it has none for maps and unions. physical are JSON's.
var (
	logical = map[string]string{
		"string": "string", "boolean": "boolean", "int": "integer", "long": "integer", "double": "number", "record": "object", "array": "array",
		"decimal": "number", "date": "date", "timestamp-millis": "timestamp",
	}
	physical = map[string]string{"date": "string", "timestamp-millis": "string"}
)

func (d describer) typed(m schemas.Member) Property {
	p := Property{PhysicalType: cmp.Or(m.Logical, m.Type)}
	p.LogicalType = logical[p.PhysicalType]
	switch {
	case !d.avro:
		p.PhysicalType = cmp.Or(physical[p.PhysicalType], p.LogicalType, p.PhysicalType)
	case m.Logical == "decimal":
		p.PhysicalType = fmt.Sprintf("decimal(%d,%d)", m.Precision, m.Scale)
	}
	p.Properties = d.properties(m.Members)
	if m.Items != nil {
		items := d.typed(*m.Items)
		p.Items = &items
	}
	return p
}
