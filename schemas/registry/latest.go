package registry

import (
	"context"
	"net/http"

	"github.com/twmb/franz-go/pkg/sr"
)

const readLatest step = "reading the subject's latest schema"

// Latest gives the text of the schema that was registered last under a subject, "" where there
// is none. It is asked for anew each time. The error is an *Error, or that of ctx.
func (r *Client) Latest(ctx context.Context, subject string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	found, err := r.client.SchemaByVersion(ctx, subject, -1)
	if statusOf(err) == http.StatusNotFound && (codeOf(err) == sr.ErrSubjectNotFound.Code || codeOf(err) == sr.ErrVersionNotFound.Code) {
		return "", nil
	}
	if err = explain(subject, readLatest, err); isAway(err) {
		r.suspect()
	}
	return found.Schema.Schema, err
}
