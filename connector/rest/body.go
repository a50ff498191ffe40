package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

func bad(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// object reads the body as a JSON object, member by member.
func (r *request) object() (map[string]json.RawMessage, error) {
	switch {
	case len(bytes.TrimSpace(r.body)) == 0:
		return nil, bad("The request has no body; send a JSON object")
	case !utf8.Valid(r.body):
		return nil, bad("The body is not UTF-8")
	}
	return parseObject(r.body, "The body")
}

func parseObject(text []byte, what string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	var members map[string]json.RawMessage
	if err := d.Decode(&members); err != nil {
		return nil, bad("%s is not a JSON object: %v", what, err)
	}
	if members == nil {
		return nil, bad("%s is not a JSON object: it is null", what)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad("%s holds more than one JSON value", what)
	}
	return members, nil
}

// only refuses members that are not among those named.
func only(members map[string]json.RawMessage, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(known, name) {
			return bad("Unrecognized field %q (%d known properties: %s)", name, len(known), `"`+strings.Join(known, `", "`)+`"`)
		}
	}
	return nil
}

// flat reads a map of strings. As in Connect, numbers and booleans
// become the text that they were written as. A null is nil.
func flat(members map[string]json.RawMessage) (map[string]*string, error) {
	values := make(map[string]*string, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value, err := scalar(members[name])
		if err != nil {
			return nil, bad("Cannot deserialize the value of %q: %v", name, err)
		}
		values[name] = value
	}
	return values, nil
}

func scalar(text json.RawMessage) (*string, error) {
	switch text = bytes.TrimSpace(text); text[0] {
	case '{':
		return nil, fmt.Errorf("a string is expected, and it is an object")
	case '[':
		return nil, fmt.Errorf("a string is expected, and it is an array")
	case 'n':
		return nil, nil
	case '"':
		var s string
		err := json.Unmarshal(text, &s)
		return &s, err
	}
	s := string(text)
	return &s, nil
}

// settings reads a configuration, in which nothing may be null.
func settings(members map[string]json.RawMessage) (map[string]string, error) {
	values, err := flat(members)
	if err != nil {
		return nil, err
	}
	cfg := make(map[string]string, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == nil {
			return nil, bad("Connector configuration is invalid and contains the following 1 error(s):\n"+
				"Null value can not be supplied as the configuration value. (%s; leave the key out)\n"+
				"You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`", name)
		}
		cfg[name] = *values[name]
	}
	return cfg, nil
}

// text reads one member as a string; "" if it is not there or null.
func text(members map[string]json.RawMessage, name string) (string, error) {
	given, found := members[name]
	if !found {
		return "", nil
	}
	s, err := scalar(given)
	if err != nil {
		return "", bad("Cannot deserialize the value of %q: %v", name, err)
	}
	if s == nil {
		return "", nil
	}
	return *s, nil
}
