package connector

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas/registry"
)

// troubleOf tells of an error what happened and, apart from it, what a person can do.
func troubleOf(err error, now time.Time) Trouble {
	t := Trouble{At: now, Message: err.Error(), Remedy: remedyOf(err)}
	if before, found := strings.CutSuffix(t.Message, "; "+t.Remedy); found {
		t.Message = before
	}
	return t
}

// remedyOf is what a person can do about an error; "" where it
// passes by itself, or its message says it in a place of its own.
func remedyOf(err error) string {
	var asked *coupa.Error
	var refused *registry.Error
	switch {
	case errors.As(err, &asked):
		return asked.Hint
	case isError[*oversizeError](err):
		return "raise the topic's max.message.bytes, or give record.oversize = trim or deadletter"
	case isError[*conflictError](err):
		return "make the registry take the schema, give the object a new topic (topic.template), or give schema.conflict = widen or deadletter"
	case errors.As(err, &refused):
		return refused.Remedy
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return "allow this principal WRITE and DESCRIBE on the topic"
	case isTemporary(err), blamesRecord(err):
		return ""
	case isError[*RowError](err):
		return "correct the row in Coupa, or send such rows to a topic of their own: errors.tolerance = all with errors.deadletterqueue.topic.name"
	}
	return ""
}

// kindOf classes an error for the condition of a task: what Coupa said, if it was Coupa.
func kindOf(err error) (kind coupa.Kind, fromCoupa bool) {
	var asked *coupa.Error
	if !errors.As(err, &asked) {
		return 0, false
	}
	if asked.Status == http.StatusTooManyRequests || asked.Status == http.StatusServiceUnavailable {
		return coupa.Throttled, true
	}
	return asked.Kind, true
}

// remember puts a trouble in front of those that are kept. What is said again only gets the newer time.
func remember(kept []Trouble, t Trouble) []Trouble {
	for i, k := range kept {
		if k.Message == t.Message {
			all := append([]Trouble{t}, kept[:i]...)
			return append(all, kept[i+1:]...)
		}
	}
	return append([]Trouble{t}, kept[:min(len(kept), maxTroubles-1)]...)
}
