package registry

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
)

// ReadWrite is the mode in which schemas can be registered.
const ReadWrite = "READWRITE"

const (
	readRules    step = "reading the registry's mode and compatibility level"
	readMode     step = "reading the subject's mode"
	trySchema    step = "asking whether the schema is compatible"
	globalPlace       = "(all)" // in errors, in a subject's place
	defaultLevel      = "BACKWARD"
)

// Rules are the registry's mode, "" where it has none, and the level of subjects that have
// none of their own. They change nothing. The error is an *Error, or that of ctx.
func (r *Client) Rules(ctx context.Context) (mode, level string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	global := r.client.Compatibility(ctx)[0]
	if global.Err != nil {
		return "", "", explain(globalPlace, readRules, global.Err)
	}
	if global.Level == 0 {
		return "", "", explain(globalPlace, readRules, errNoLevel)
	}
	found := r.client.Mode(ctx)[0]
	if found.Err == nil {
		mode = found.Mode.String()
	}
	return mode, global.Level.String(), nil
}

// Trial is what would become of a schema that is registered.
type Trial struct {
	ID    int    // the schema is there; 0: it is not
	New   bool   // the subject is not there either
	Level string // by which versions of the subject follow each other
}

// Try tells what [Client.Register] would do with a schema, and changes nothing. The error is an *Error, of
// status 409 where the subject's versions do not let it follow, or that of ctx.
func (r *Client) Try(ctx context.Context, subject, schema string) (Trial, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	k := idKey{subject, schema}
	id, err := r.lookup(ctx, k)
	if err == nil {
		return Trial{ID: id}, nil
	}
	if !isUnknown(err) {
		return Trial{}, explain(subject, readSubject, err)
	}
	if mode := r.client.Mode(ctx, subject)[0]; mode.Err == nil && mode.Mode.String() != ReadWrite {
		return Trial{}, &Error{Subject: subject, Act: string(readMode), Answer: "it is " + mode.Mode.String(), Status: http.StatusUnprocessableEntity,
			Hint: "set the mode to READWRITE, or register the schema elsewhere and set auto.register.schemas=false"}
	}
	t := Trial{New: codeOf(err) == sr.ErrSubjectNotFound.Code, Level: defaultLevel}
	own := r.client.Compatibility(ctx, subject)[0]
	switch {
	case own.Err == nil:
		t.Level = own.Level.String()
	case statusOf(own.Err) != http.StatusNotFound:
		return Trial{}, explain(subject, readLevel, own.Err)
	case !t.New:
		if t.Level, err = r.globalLevel(ctx, subject); err != nil {
			return Trial{}, err
		}
	}
	if t.New {
		return t, nil
	}
	is, err := r.client.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), subject, -1, k.document())
	if err != nil {
		return Trial{}, explain(subject, trySchema, err)
	}
	if !is.Is {
		e := &Error{Subject: subject, Act: string(trySchema), Status: http.StatusConflict,
			Answer: cut(fmt.Sprintf("the level %s does not let it follow the last version: %s", t.Level, strings.Join(strings.Fields(strings.Join(is.Messages, "; ")), " ")))}
		e.Hint = remedy(trySchema, e)
		return Trial{}, e
	}
	return t, nil
}

func (r *Client) globalLevel(ctx context.Context, subject string) (string, error) {
	global := r.client.Compatibility(ctx)[0]
	return global.Level.String(), explain(subject, readLevel, global.Err)
}
