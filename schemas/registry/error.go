package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/sr"
)

// Error is what went wrong between coupastream and the schema registry. It
// shows no credentials, and of the registry's answer at most answerLength bytes.
type Error struct {
	Subject string
	Act     string // what was being done, "registering the schema"
	Status  int    // HTTP status, 0 when there was no answer
	Code    int    // the registry's error_code, 0 for none
	Answer  string // what the registry said, or why there was no answer
	Hint    string // what to do next
	Err     error
}

func (e *Error) Error() string {
	status := ""
	if e.Status != 0 {
		status = fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	return fmt.Sprintf("schema registry, subject %q: %s failed%s: %s; %s", e.Subject, e.Act, status, e.Answer, e.Hint)
}

// Unwrap gives the cause. Its text is not cut and may name the registry's address, without credentials.
func (e *Error) Unwrap() error { return e.Err }

// Remedy is the hint.
func (e *Error) Remedy() string { return e.Hint }

// Temporary tells whether the same request may succeed later with nothing
// changed: the registry was not reached, or is overloaded or broken.
func (e *Error) Temporary() bool {
	return e.Status == 0 && !noRegistry(e.Err) && !errors.Is(e.Err, errLargeID) || e.Status == http.StatusTooManyRequests ||
		e.Status == http.StatusRequestTimeout || e.Status >= http.StatusInternalServerError
}

// Away tells whether nobody answered who knows the schemas: the registry was not reached, is overloaded
// or broken, or what stands before it answered, with a maintenance page or by asking for a log-in.
func (e *Error) Away() bool {
	return e.Temporary() || noRegistry(e.Err) || e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden ||
		e.Status == http.StatusNotFound && e.Code == 0
}

func isAway(err error) bool {
	failed, ok := errors.AsType[*Error](err)
	return ok && failed.Away()
}

// answerLength bounds what is quoted of a registry's answer:
// on incompatible schemas some send both schemas in full.
const answerLength = 600

// step is one of the conversation with the registry.
type step string

const (
	notRegistered  step = "looking the schema up"
	readSubject    step = "looking for the schema"
	readLevel      step = "reading the subject's compatibility level"
	setLevel       step = "setting the subject's compatibility level to BACKWARD"
	registerSchema step = "registering the schema"
)

var (
	// errNoID is a success without an id.
	errNoID = errors.New("the answer holds no schema id")
	// errNoLevel is a success without a compatibility level.
	errNoLevel = errors.New("the answer holds no compatibility level")
	// errLargeID is an id that no reader's framing can hold.
	errLargeID = errors.New("the schema's id is above 2147483647, and records have four bytes for it")
)

// explain makes the error that users see, nil of nil.
func explain(subject string, at step, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Subject: subject, Act: string(at), Status: statusOf(err), Code: codeOf(err), Err: err}
	e.Answer = answerOf(err)
	e.Hint = remedy(at, e)
	return e
}

// remedy says what to do next.
func remedy(at step, e *Error) string {
	switch {
	case errors.Is(e.Err, errLargeID):
		return "let the registry count from a lower number, or use another one"
	case noRegistry(e.Err):
		return "check that schema.registry.url is the root of a registry with Confluent's API (Apicurio: …/apis/ccompat/v7)"
	case e.Status == 0:
		return "check schema.registry.url, the network and schema.registry.ssl.ca.location; it is tried again"
	case e.Status == http.StatusUnauthorized:
		return "check schema.registry.basic.auth.user.info"
	case e.Status == http.StatusForbidden && at == setLevel:
		return "let this user write the subject's config, or set a level on the subject yourself: one that is there is left as it is"
	case e.Status == http.StatusForbidden:
		return "let this user read and write the subject, or register the schema yourself (coupastream schema prints it) and set auto.register.schemas=false"
	case e.Status == http.StatusNotFound && at == notRegistered:
		return "the schema is not registered there; register it (coupastream schema prints it) or set auto.register.schemas=true"
	case e.Status == http.StatusNotFound && at == readByID:
		return "records in a topic were written by this schema, and the registry has it no more; bring it back there"
	case e.Status == http.StatusNotFound:
		return "check that schema.registry.url is the root of a registry with Confluent's API (Apicurio: …/apis/ccompat/v7)"
	case e.Status == http.StatusConflict:
		return "the subject holds a schema that this one may not follow; give the object another topic (topic.template) or subject (value.subject.name.strategy), see that all who write there have custom fields in one form (custom.fields), let schema.conflict decide, or relax the subject's compatibility level if its readers can cope"
	case e.Status == http.StatusUnprocessableEntity:
		return "the registry refuses the schema or the subject as such; check that it accepts Avro, this subject's name and writes (its mode)"
	case e.Temporary():
		return "the registry is overloaded or broken; it is tried again"
	}
	return "check the registry's log"
}

// noRegistry tells whether the answer came from something else: a success that is not JSON, or has no id.
func noRegistry(err error) bool {
	_, notJSON := errors.AsType[*json.SyntaxError](err)
	_, otherJSON := errors.AsType[*json.UnmarshalTypeError](err)
	return notJSON || otherJSON || errors.Is(err, errNoID) || errors.Is(err, errNoLevel)
}

// isUnknown tells that the registry itself says that it does not have the schema under the subject.
func isUnknown(err error) bool {
	return statusOf(err) == http.StatusNotFound && (codeOf(err) == sr.ErrSchemaNotFound.Code || codeOf(err) == sr.ErrSubjectNotFound.Code)
}

func statusOf(err error) int {
	if answer, ok := errors.AsType[*sr.ResponseError](err); ok {
		return answer.StatusCode
	}
	return 0
}

func codeOf(err error) int {
	if answer, ok := errors.AsType[*sr.ResponseError](err); ok {
		return answer.ErrorCode
	}
	return 0
}

// answerOf is what the registry said on one line, or why it said nothing.
func answerOf(err error) string {
	if answer, ok := errors.AsType[*sr.ResponseError](err); ok {
		return cut(strings.Join(strings.Fields(answer.Error()), " "))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return cut(failed.Err.Error()) // without the URL that *url.Error prints
	}
	return cut(err.Error())
}

// cut keeps the start of a long text, whole characters only.
func cut(text string) string {
	if len(text) <= answerLength {
		return text
	}
	end := answerLength
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
