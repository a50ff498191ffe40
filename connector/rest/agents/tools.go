package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/coupastream/coupastream/connector/rest"
	"github.com/coupastream/coupastream/connector/rest/security"
)

// Tool is something that an agent may ask for.
type Tool struct {
	Name        string
	Description string
	Input       map[string]any // JSON Schema of an object
	Changes     bool           // it is for those alone who may change something
	Idempotent  bool           // doing it again changes nothing more
	// Do does it. What it gives is told to the agent, as is its error.
	Do func(ctx context.Context, given map[string]json.RawMessage) ([]byte, error)
}

// Ask sends one request to the REST API, with body as JSON unless it is nil, and gives the answer's body;
// an answer that is an error is one. The path is escaped.
type Ask func(ctx context.Context, method, path string, query url.Values, body any) ([]byte, error)

// offered are the operations that agents may ask for, by their operationId: what
// connectors are and do, and of what changes that, what can be taken back.
var offered = []string{
	"listConnectors", "getConnector", "getContract", "getSchemas", "getStatus", "getHealth", "getTopics", "getOffsets", "explain", "getSnapshots",
	"pause", "resume", "restart", "takeSnapshot", "cancelSnapshot",
}

// Operations are the tools that the REST API's description declares: those that
// read, and with changes the others too.
func Operations(ask Ask, changes bool) ([]Tool, error) {
	d, err := describe()
	if err != nil {
		return nil, err
	}
	var all []Tool
	for _, name := range offered {
		o, err := d.operation(name)
		if err != nil {
			return nil, err
		}
		if t := o.tool(ask); changes || !t.Changes {
			all = append(all, t)
		}
	}
	return all, nil
}

// description is openapi.yaml as a tree.
type description map[string]any

func describe() (description, error) {
	text, err := rest.Description()
	if err != nil {
		return nil, err
	}
	var d description
	return d, json.Unmarshal(text, &d)
}

// operation is what openapi.yaml says of one.
type operation struct {
	name, method, path string
	words              string
	parameters         []parameter
	body               map[string]any // its schema; nil: there is none
}

// parameter is a part of the path, or of the query.
type parameter struct {
	name     string
	inPath   bool
	required bool
	schema   map[string]any
}

// forward is for workers among each other.
const forward = "forward"

// operation finds an operation by its name.
func (d description) operation(name string) (*operation, error) {
	paths, _ := d["paths"].(map[string]any)
	for path, item := range paths {
		item, _ := item.(map[string]any)
		for method, o := range item {
			o, is := o.(map[string]any)
			if !is || o["operationId"] != name {
				continue
			}
			found := &operation{name: name, method: strings.ToUpper(method), path: path}
			found.words, _ = o["summary"].(string)
			if more, _ := o["description"].(string); more != "" {
				found.words += ".\n" + strings.TrimSpace(more)
			}
			for _, list := range []any{item["parameters"], o["parameters"]} {
				list, _ := list.([]any)
				for _, p := range list {
					found.add(d.whole(p).(map[string]any))
				}
			}
			if body, has := o["requestBody"]; has {
				found.body, _ = at(d.whole(body), "content", "application/json", "schema").(map[string]any)
			}
			return found, nil
		}
	}
	return nil, fmt.Errorf("the OpenAPI description has no operation %s", name)
}

// add takes a parameter up, with what it is described by.
func (o *operation) add(p map[string]any) {
	one := parameter{inPath: p["in"] == "path"}
	one.name, _ = p["name"].(string)
	one.required, _ = p["required"].(bool)
	one.schema, _ = p["schema"].(map[string]any)
	if words, has := p["description"]; has {
		one.schema["description"] = words
	}
	if one.name != forward {
		o.parameters = append(o.parameters, one)
	}
}

// whole gives a node, and all in it, with what references point to in their place.
func (d description) whole(node any) any {
	switch node := node.(type) {
	case map[string]any:
		if ref, is := node["$ref"].(string); is {
			return d.whole(at(map[string]any(d), strings.Split(strings.TrimPrefix(ref, "#/"), "/")...))
		}
		all := map[string]any{}
		for key, value := range node {
			all[key] = d.whole(value)
		}
		return all
	case []any:
		all := make([]any, len(node))
		for i, value := range node {
			all[i] = d.whole(value)
		}
		return all
	}
	return node
}

// at follows keys; nil: there is nothing.
func at(node any, keys ...string) any {
	for _, key := range keys {
		level, _ := node.(map[string]any)
		node = level[key]
	}
	return node
}

// tool is the operation for agents: parameters and the members of its body side by side.
func (o *operation) tool(ask Ask) Tool {
	properties, required := map[string]any{}, []string{}
	if members, has := o.body["properties"].(map[string]any); has {
		maps.Copy(properties, members)
		for _, name := range o.body["required"].([]any) {
			required = append(required, name.(string))
		}
	}
	for _, p := range o.parameters {
		properties[p.name] = p.schema
		if p.required {
			required = append(required, p.name)
		}
	}
	return Tool{
		Name: o.name, Description: o.words, Changes: !security.Reads(o.method), Idempotent: o.method != http.MethodPost,
		Input: map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false},
		Do: func(ctx context.Context, given map[string]json.RawMessage) ([]byte, error) {
			path, query, body := o.request(given)
			return ask(ctx, o.method, path, query, body)
		},
	}
}

// request is what an agent has given, as the API takes it. It fits the tool's schema.
func (o *operation) request(given map[string]json.RawMessage) (path string, query url.Values, body any) {
	path, query = o.path, url.Values{}
	members := maps.Clone(given)
	for _, p := range o.parameters {
		value, has := given[p.name]
		delete(members, p.name)
		switch {
		case !has:
		case p.inPath:
			path = strings.ReplaceAll(path, "{"+p.name+"}", url.PathEscape(Texts(value)[0]))
		default:
			query[p.name] = Texts(value)
		}
	}
	if o.body != nil {
		body = members
	}
	return path, query, body
}

// Texts are the values of a list, or the one value that is none, as they
// stand in an address or on a command line.
func Texts(value json.RawMessage) []string {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		list = []json.RawMessage{value}
	}
	all := make([]string, len(list))
	for i, one := range list {
		if json.Unmarshal(one, &all[i]) != nil { // a number, or true or false
			all[i] = string(bytes.TrimSpace(one))
		}
	}
	return all
}
