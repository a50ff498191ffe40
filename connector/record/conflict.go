package record

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/registry"
)

// Values of schema.conflict.
const (
	conflictDeadLetter = "deadletter"
	conflictWiden      = "widen"
)

// conflictError says that the schema of the values can't follow those
// that the subject has, so that no row can be encoded.
type conflictError struct{ refusal error }

func (e *conflictError) Error() string { return e.refusal.Error() }
func (e *conflictError) Unwrap() error { return e.refusal }

// Remedy is what lets rows be encoded again.
func (e *conflictError) Remedy() string {
	if differs, ok := errors.AsType[*differenceError](e.refusal); ok {
		return differs.Remedy()
	}
	return "make the registry take the schema, give the object a new topic (topic.template), or give schema.conflict = widen or deadletter"
}

// differenceError says that readers would take values of a subject's last version
// for something else by the next one, or the other way round.
type differenceError struct {
	subject string
	found   []schemas.Difference
}

// shownDifferences is how many an error tells of; the first ones show what was changed.
const shownDifferences = 5

func (e *differenceError) Error() string {
	var all []string
	for _, d := range e.found[:min(len(e.found), shownDifferences)] {
		all = append(all, d.String())
	}
	if more := len(e.found) - len(all); more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("subject %q: readers would bend values of its last version: %s", e.subject, strings.Join(all, "; "))
}

// Remedy is what keeps the two versions apart.
func (*differenceError) Remedy() string {
	return "give the object a new topic (topic.template), or another subject; or take the change back (decimal.handling.mode, retype, hash and mask of the mapping)"
}

// unwidened names the first difference that a union can't have both sides of; "": there is none.
func (e *differenceError) unwidened() string {
	for _, d := range e.found {
		if !d.Widens {
			return fmt.Sprintf("no union tells values of both from each other (%s)", d)
		}
	}
	return ""
}

// refusedValues encodes no row.
type refusedValues struct{ err *conflictError }

func (v refusedValues) Append(dst []byte, _ coupa.Row, _ string) ([]byte, error) { return dst, v.err }

func (refusedValues) kept() *schemas.Encoder { return nil }

// by gives what makes them, whatever the schema.
func (v refusedValues) by(_ context.Context, schema *schemas.Schema) (*schemas.Schema, func() valueEncoder, error) {
	return schema, func() valueEncoder { return v }, nil
}

// undeliverable is the encoding of a stream whose rows are dead letters because
// its schema contradicts what is registered. The key's schema must be registered.
func (m *Maker) undeliverable(ctx context.Context, fields *custom.Fields, refusal error) (*encoding, error) {
	e, err := m.encodingWith(ctx, fields, refusedValues{&conflictError{refusal}}.by)
	if err != nil {
		return nil, err
	}
	e.refused = time.Now()
	m.Log.Error("the schema contradicts what is registered; rows go to the dead letter topic until the registry takes it", "topic", m.dead.topic, "error", refusal)
	return e, nil
}

// onConflict is what becomes of a schema that could not be registered for err.
func (m *Maker) onConflict(ctx context.Context, fields *custom.Fields, err error) (*encoding, error) {
	if m.Object.SchemaConflict != conflictDeadLetter || !isIncompatible(err) {
		return nil, err
	}
	return m.undeliverable(ctx, fields, err)
}

// isToWiden tells that a schema was refused, and is to be widened for that.
func (m *Maker) isToWiden(err error) bool {
	return isIncompatible(err) && !errors.Is(err, errOtherForm) && m.Object.SchemaConflict == conflictWiden && m.Object.AutoRegister
}

// refusedWide is the error of a widened schema.
func refusedWide(err error) error {
	if !isIncompatible(err) {
		return err
	}
	return fmt.Errorf("a schema with the last version's fields and types besides (schema.conflict=widen) is refused too: %w", err)
}

// widened gives, in place of a schema that the registry refused, one that
// has besides what the subject's last version has: widen makes it of that.
func (m *Maker) widened(ctx context.Context, subject string, refusal error, widen func(last string) (*schemas.Schema, error)) (*schemas.Schema, error) {
	if differs, ok := errors.AsType[*differenceError](refusal); ok && differs.unwidened() != "" {
		return nil, fmt.Errorf("%w; schema.conflict=widen can't help: %s", refusal, differs.unwidened())
	}
	last, err := m.Registry.Latest(ctx, subject)
	if err != nil {
		return nil, err
	}
	wide, err := widen(last)
	if err != nil {
		return nil, fmt.Errorf("%w; schema.conflict=widen can't help: %w", refusal, err)
	}
	return wide, nil
}

// errOtherForm says that with custom.fields=auto a subject was given the other form meanwhile.
var errOtherForm = errors.New("the subject has the other form of custom fields")

// isOtherForm tells whether the registry refuses a schema, for err, because the subject's last version
// has the other form of custom fields, where auto leaves it open which it is: another stream, here or on
// another worker, was first.
func (m *Maker) isOtherForm(ctx context.Context, subject, schema string, err error) bool {
	if !isIncompatible(err) || m.Object.CustomFields != "auto" || m.Object.ValueFormat != config.FormatAvro {
		return false
	}
	last, err := m.Registry.Latest(ctx, subject)
	if err != nil || last == "" {
		return false
	}
	_, theirs, err := custom.FromSchema(last)
	_, ours, failed := custom.FromSchema(schema)
	return err == nil && failed == nil && theirs != ours
}

// isIncompatible tells that a schema can't follow those that the subject
// has: the registry refuses it, or readers would bend what it lets through.
func isIncompatible(err error) bool {
	if _, ok := errors.AsType[*differenceError](err); ok {
		return true
	}
	failed, ok := errors.AsType[*registry.Error](err)
	return ok && failed.Status == http.StatusConflict
}
