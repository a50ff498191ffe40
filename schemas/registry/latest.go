package registry

import (
	"context"
	"net/http"

	"github.com/twmb/franz-go/pkg/sr"
)

const readLatest step = "reading the subject's latest schema"

// latestAtOnce bounds how many subjects are asked for at once: with a start of a
// thousand tenants on a registry that is slow, the last ones would not be answered in time.
const latestAtOnce = 16

// question is one request for a subject's last version, and those who wait for its answer.
type question struct {
	done chan struct{} // closed when there is an answer
	text string
	err  error
}

// Latest gives the text of the schema that was registered last under a subject, "" where there is
// none. It is asked for anew each time, but that those who come while a request for the subject is
// under way share the one after it. The error is an *Error, or that of ctx.
func (r *Client) Latest(ctx context.Context, subject string) (string, error) {
	q := r.question(ctx, subject)
	select {
	case <-q.done:
		return q.text, q.err
	case <-ctx.Done():
		return "", r.awayAt(subject, ctx.Err())
	}
}

// question is the next request for a subject; it is none that was sent before.
func (r *Client) question(ctx context.Context, subject string) *question {
	r.mu.Lock()
	defer r.mu.Unlock()
	q, asking := r.latest[subject]
	if q == nil {
		q = &question{done: make(chan struct{})}
		r.latest[subject] = q
	}
	if !asking {
		go r.answer(context.WithoutCancel(ctx), subject)
	}
	return q
}

// answer asks as long as somebody waits for an answer about the subject. A request
// does not end with the one who happened to come first, so it has its own time limit.
func (r *Client) answer(ctx context.Context, subject string) {
	for {
		r.asking <- struct{}{}
		r.mu.Lock()
		q := r.latest[subject]
		if r.latest[subject] = nil; q == nil {
			delete(r.latest, subject)
		}
		r.mu.Unlock()
		if q != nil {
			q.text, q.err = r.askLatest(ctx, subject)
			close(q.done)
		}
		<-r.asking
		if q == nil {
			return
		}
	}
}

func (r *Client) askLatest(ctx context.Context, subject string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	found, err := r.client.SchemaByVersion(ctx, subject, -1)
	if statusOf(err) == http.StatusNotFound && (codeOf(err) == sr.ErrSubjectNotFound.Code || codeOf(err) == sr.ErrVersionNotFound.Code) {
		return "", nil
	}
	return found.Schema.Schema, r.awayAt(subject, err)
}

// awayAt is the error of a request for a subject's last version. One that nobody answered makes ids suspect.
func (r *Client) awayAt(subject string, err error) error {
	if err = explain(subject, readLatest, err); isAway(err) {
		r.suspect()
	}
	return err
}
