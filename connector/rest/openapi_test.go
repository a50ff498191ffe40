package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// described is the description, with a compiler for the schemas
// in it. OpenAPI 3.1 has JSON Schema's own form for these.
type described struct {
	compiler *jsonschema.Compiler
	paths    map[string]map[string]json.RawMessage
	tree     map[string]any
}

const source = "openapi.json"

func describe(t *testing.T) *described {
	t.Helper()
	rec := ask(newFake(t).api(t), "GET", "/openapi.json", "")
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(rec.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(source, tree); err != nil {
		t.Fatal(err)
	}
	d := &described{compiler: c, tree: tree.(map[string]any)}
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	d.paths = doc.Paths
	return d
}

// at follows keys from the root, and references where they stand.
func (d *described) at(keys ...string) (node map[string]any, pointer string) {
	node = d.tree
	for _, k := range keys {
		next, found := node[k].(map[string]any)
		if !found {
			return nil, ""
		}
		node = next
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(k)
		if ref, isRef := node["$ref"].(string); isRef && len(keys) > 0 {
			return d.at(append(strings.Split(strings.TrimPrefix(ref, "#/"), "/"), keys[slices.Index(keys, k)+1:]...)...)
		}
	}
	return node, pointer
}

// check tells whether an answer is one of those that the description has for the operation.
func (d *described) check(method, path string, rec *httptest.ResponseRecorder) error {
	if method == "HEAD" || method == "OPTIONS" || rec.Code == 405 || rec.Code == 415 || rec.Code == 404 && d.paths[path] == nil {
		return nil // what the framework answers is the same everywhere
	}
	where := []string{"paths", path, strings.ToLower(method), "responses", fmt.Sprint(rec.Code)}
	response, _ := d.at(where...)
	if response == nil {
		where[4] = "default"
		if response, _ = d.at(where...); response == nil || rec.Code < 400 {
			return fmt.Errorf("%s %s has no answer %d", method, path, rec.Code)
		}
	}
	content, _ := response["content"].(map[string]any)
	if content == nil {
		if rec.Body.Len() > 0 {
			return fmt.Errorf("%s %s: an answer %d has no body: %s", method, path, rec.Code, rec.Body)
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(rec.Header().Get("Content-Type"))
	if err != nil || content[media] == nil {
		return fmt.Errorf("%s %s: an answer %d is not %q", method, path, rec.Code, rec.Header().Get("Content-Type"))
	}
	if media != "application/json" {
		return nil
	}
	_, pointer := d.at(append(where, "content", media, "schema")...)
	schema, err := d.compiler.Compile(source + "#" + pointer)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(rec.Body.Bytes()))
	if err != nil {
		return err
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", method, path, err, rec.Body)
	}
	return nil
}

func TestEveryRouteIsDescribedAndEveryDescriptionIsARoute(t *testing.T) {
	d := describe(t)
	var routes, operations []string
	for _, r := range newFake(t).api(t).routes {
		routes = append(routes, r.method+" "+r.path)
	}
	for path, item := range d.paths {
		for method := range item {
			if method != "parameters" {
				operations = append(operations, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(routes)
	slices.Sort(operations)
	if !slices.Equal(routes, operations) {
		t.Errorf("routes:\n%s\noperations:\n%s", strings.Join(routes, "\n"), strings.Join(operations, "\n"))
	}
}

func TestEverySchemaOfTheDescriptionIsOne(t *testing.T) {
	d := describe(t)
	schemas, _ := d.at("components", "schemas")
	for name := range schemas {
		if _, err := d.compiler.Compile(source + "#/components/schemas/" + name); err != nil {
			t.Error(err)
		}
	}
	if len(schemas) < 20 {
		t.Errorf("%d schemas", len(schemas))
	}
}

func TestEveryPathNamesItsParameters(t *testing.T) {
	d := describe(t)
	for path, item := range d.paths {
		for method := range item {
			if method == "parameters" {
				continue
			}
			var named []string
			for _, where := range [][]string{{"paths", path}, {"paths", path, method}} {
				node, _ := d.at(where...)
				list, _ := node["parameters"].([]any)
				for _, p := range list {
					p := p.(map[string]any)
					if ref, isRef := p["$ref"].(string); isRef {
						p, _ = d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
					}
					if p["in"] == "path" {
						named = append(named, "{"+p["name"].(string)+"}")
					}
				}
			}
			for part := range strings.SplitSeq(path, "/") {
				if strings.HasPrefix(part, "{") && !slices.Contains(named, part) {
					t.Errorf("%s %s does not describe %s", method, path, part)
				}
			}
		}
	}
}
