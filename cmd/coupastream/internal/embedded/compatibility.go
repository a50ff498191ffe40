package embedded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

var (
	registration = regexp.MustCompile(`^/subjects/([^/]+)/versions$`)
	check        = regexp.MustCompile(`^/compatibility/subjects/([^/]+)/versions(/[^/]+)?$`)
)

// enforceCompatibility adds what the fake registry leaves out: a schema that is no Avro is refused with
// 422, and one that can't read what the subject's last version wrote with 409, as the BACKWARD rule says.
func enforceCompatibility(r *srfake.Registry) srfake.Interceptor {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPost {
			return false
		}
		path := req.URL.EscapedPath()
		m, asked := registration.FindStringSubmatch(path), false
		if m == nil {
			m, asked = check.FindStringSubmatch(path), true
		}
		if m == nil {
			return false
		}
		schema, err := posted(req)
		if err != nil || schema.Type != sr.TypeAvro {
			return false // the fake answers malformed requests itself
		}
		if _, err := avro.Parse(schema.Schema); err != nil {
			answer(w, http.StatusUnprocessableEntity, map[string]any{"error_code": 42201, "message": fmt.Sprintf("Invalid Avro schema: %v", err)})
			return true
		}
		err = readsLatest(r, m[1], schema.Schema)
		switch {
		case asked:
			answer(w, http.StatusOK, map[string]any{"is_compatible": err == nil})
			return true
		case err != nil:
			answer(w, http.StatusConflict, map[string]any{"error_code": 409, "message": fmt.Sprintf("Schema being registered is incompatible with an earlier schema: %v", err)})
			return true
		}
		return false
	}
}

func readsLatest(r *srfake.Registry, subject, next string) error {
	latest, ok := sr.SubjectSchema{}, false
	for v := 1; ; v++ {
		s, found := r.GetSchema(subject, v)
		if !found {
			break
		}
		latest, ok = s, true
	}
	if !ok {
		return nil
	}
	writer, err := unlogical(latest.Schema.Schema)
	if err != nil {
		return err
	}
	reader, err := unlogical(next)
	if err != nil {
		return err
	}
	return avro.CheckCompatibility(writer, reader)
}

// unlogical is a schema without its logical types: no registry looks at them, as Avro's
// rules for readers do not, so that another scale or unit of time passes BACKWARD.
func unlogical(text string) (*avro.Schema, error) {
	var tree any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		return nil, err
	}
	dropLogical(tree)
	plain, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	return avro.Parse(string(plain))
}

func dropLogical(node any) {
	switch node := node.(type) {
	case map[string]any:
		if _, ok := node["type"].(string); ok {
			delete(node, "logicalType")
		}
		for _, inner := range node {
			dropLogical(inner)
		}
	case []any:
		for _, inner := range node {
			dropLogical(inner)
		}
	}
}

// posted reads the schema of a request and leaves the body as it was.
func posted(req *http.Request) (sr.Schema, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return sr.Schema{}, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	var s sr.Schema
	return s, json.Unmarshal(body, &s)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
