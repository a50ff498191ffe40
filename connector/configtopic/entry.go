package configtopic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/coupastream/coupastream/connector/status"
)

// kind is what a record is about.
type kind int

const (
	unknown kind = iota
	connector
	targetState
	logger
	shard
	claim
	verified
)

// prefixes of keys. None is the beginning of another.
var prefixes = map[kind]string{connector: "connector-", targetState: "target-state-", logger: "logger-cluster-", shard: "shard-", claim: "checkpoint-", verified: "verified-"}

// entry is a record's meaning.
type entry struct {
	kind  kind
	name  string // of the connector or the logger
	shard int32  // of an owner or a claim
	gone  bool   // the record removes what its key names; the fields below count otherwise

	properties map[string]string
	target     Target
	level      string
	owner      Owner
	claim      Claim
	verified   map[string]Verified // by object
}

// decode reads a record. Keys of kinds that this version does not know give
// an entry of kind unknown. An error never holds anything of the value.
func decode(key string, value []byte) (entry, error) {
	e := entry{gone: value == nil}
	for k, prefix := range prefixes {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			e.kind, e.name = k, name
		}
	}
	switch {
	case e.kind == unknown:
		return entry{}, nil
	case e.name == "":
		return entry{}, errors.New("the key names nothing")
	case e.kind == shard || e.kind == claim:
		n, err := strconv.ParseInt(e.name, 10, 32)
		if err != nil || n < 0 || strconv.FormatInt(n, 10) != e.name {
			return entry{}, fmt.Errorf("the key names no shard: %s0, %[1]s1, …", prefixes[e.kind])
		}
		e.name, e.shard = "", int32(n)
	}
	if e.gone {
		return e, nil
	}
	fields, err := object(value)
	if err != nil {
		return entry{}, err
	}
	if err := e.decodeValue(fields); err != nil {
		return entry{}, err
	}
	return e, nil
}

func (e *entry) decodeValue(fields map[string]json.RawMessage) (err error) {
	switch e.kind {
	case connector:
		e.properties, err = properties(fields["properties"])
	case targetState:
		e.target.State, err = stateOf(fields)
		e.target.Untold = status.Untold{Tasks: e.target.State == Stopped || isTrue(fields["no_tasks"]), Topics: isTrue(fields["no_topics"])}
	case logger:
		e.level, err = text(fields, "level")
	case shard:
		var err1, err2, err3 error
		e.owner.WorkerID, err1 = text(fields, "worker_id")
		e.owner.URL, err2 = text(fields, "url")
		if json.Unmarshal(fields["generation"], &e.owner.Generation) != nil || isNull(fields["generation"]) {
			err3 = errors.New("generation is no whole number of 32 bits")
		}
		err = errors.Join(err1, err2, err3)
	case claim:
		e.claim, err = claimOf(fields)
	case verified:
		e.verified, err = verifiedOf(fields["objects"])
	}
	return err
}

// object reads a JSON object, whose names count to the letter.
func object(value []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil || fields == nil {
		return nil, errors.New("the value is no JSON object")
	}
	return fields, nil
}

func isNull(raw json.RawMessage) bool { return bytes.Equal(raw, []byte("null")) }

func isTrue(raw json.RawMessage) bool { return bytes.Equal(raw, []byte("true")) }

// text reads a member that is a string and not empty.
func text(fields map[string]json.RawMessage, name string) (string, error) {
	var s string
	if json.Unmarshal(fields[name], &s) != nil || s == "" {
		return "", fmt.Errorf("%s is no text", name)
	}
	return s, nil
}

// properties reads a connector's configuration. Connect allows
// null for a value, and it means that the key is not given.
func properties(raw json.RawMessage) (map[string]string, error) {
	values, err := object(raw)
	if err != nil {
		return nil, errors.New("properties is no JSON object")
	}
	all := make(map[string]string, len(values))
	for key, raw := range values {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil, fmt.Errorf("the value of property %q is no text", key)
		}
		if !isNull(raw) {
			all[key] = s
		}
	}
	return all, nil
}

// stateOf reads a target state: state.v2, or state where
// there is no state.v2 that is a text, as Connect does.
func stateOf(fields map[string]json.RawMessage) (TargetState, error) {
	s, err := text(fields, "state.v2")
	if err != nil {
		s, err = text(fields, "state")
	}
	if err != nil {
		return "", err
	}
	switch state := TargetState(s); state {
	case Started, Paused, Stopped:
		return state, nil
	default:
		return "", errors.New("the state is none of STARTED, PAUSED and STOPPED")
	}
}

// encode makes the record of an entry; the value is nil if it removes.
func (e entry) encode() (key string, value []byte) {
	key = prefixes[e.kind] + e.name
	if e.kind == shard || e.kind == claim {
		key = prefixes[e.kind] + strconv.FormatInt(int64(e.shard), 10)
	}
	if e.gone {
		return key, nil
	}
	var v any
	switch e.kind {
	case connector:
		v = struct {
			Properties map[string]string `json:"properties"`
		}{e.properties}
	case targetState:
		s := struct {
			State    TargetState `json:"state"`
			StateV2  TargetState `json:"state.v2"`
			NoTasks  bool        `json:"no_tasks,omitempty"`
			NoTopics bool        `json:"no_topics,omitempty"`
		}{e.target.State, e.target.State, e.target.Untold.Tasks, e.target.Untold.Topics}
		if s.State == Stopped {
			s.State = Paused // for readers that do not know STOPPED
		}
		v = s
	case logger:
		v = struct {
			Level string `json:"level"`
		}{e.level}
	case shard:
		v = struct {
			WorkerID   string `json:"worker_id"`
			URL        string `json:"url"`
			Generation int32  `json:"generation"`
		}{e.owner.WorkerID, e.owner.URL, e.owner.Generation}
	case claim:
		v = claimForm(e.claim)
	case verified:
		v = struct {
			Objects map[string]verifiedJSON `json:"objects"`
		}{verifiedForm(e.verified)}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // maps of texts and structs of texts and numbers can all be encoded
	return key, bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// check tells what would not come back as it was given.
func (e entry) check() error {
	key, value := e.encode()
	for name, v := range e.properties {
		if !utf8.ValidString(name) || !utf8.ValidString(v) {
			return fmt.Errorf("%s: property %q is not UTF-8; JSON can't hold it", key, name)
		}
	}
	if !utf8.ValidString(key) {
		return fmt.Errorf("%q is not UTF-8; JSON can't hold it", key)
	}
	if _, err := decode(key, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}
