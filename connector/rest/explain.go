package rest

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/coupastream/coupastream/connector/explain"
	"github.com/coupastream/coupastream/connector/status"
)

// explainer is the owner's part in this.
type explainer interface {
	Explain(ctx context.Context, name string, r explain.Request) (*explain.Answer, error)
}

// explainRoutes tell why a row is in its topic, or is not.
func (a *API) explainRoutes() []route {
	return []route{{method: "GET", path: connectorPath + "/explain/{object}/{id}", do: a.explain}}
}

// LinesType is the media type of an answer in lines: how far it is, now and then, and the answer last.
const LinesType = "application/x-ndjson"

// ExplainLine is one of these lines: one of its members is there.
type ExplainLine struct {
	Progress *explain.Progress `json:"progress,omitempty"`
	Answer   *explain.Answer   `json:"answer,omitempty"`
	// what kept the answer from being made, behind the first line: its status can't tell then
	Code    int    `json:"error_code,omitempty"`
	Message string `json:"message,omitempty"`
}

// explain answers of one row, whose id is Coupa's, at most as long as [explain.Patience] tells.
func (a *API) explain(r *request) (*answer, error) {
	asked, err := r.row()
	if err != nil {
		return nil, err
	}
	c, err := a.withObject(r)
	if err != nil {
		return nil, err
	}
	if ranges(r.Header.Values("Accept"))[LinesType] > 0 {
		return &answer{instead: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { a.explainInLines(rw, r, c, asked) })}, nil
	}
	return a.ownersWorkWithin(r, c, notFound, explain.Patience, a.forward(r), func(ctx context.Context) (*answer, error) {
		got, err := a.owner.Explain(ctx, c.Name, asked)
		if err != nil {
			return nil, ofRequest(err)
		}
		return ok(got)
	})
}

// row reads which row is asked for.
func (r *request) row() (explain.Request, error) {
	asked := explain.Request{Object: r.path["object"]}
	var err error
	if asked.ID, err = strconv.ParseInt(r.path["id"], 10, 64); err != nil || asked.ID <= 0 {
		return asked, bad("The id %q is expected to be a whole number above 0: Coupa's internal id of the row, which is no number that is printed on a document", r.path["id"])
	}
	if text := r.URL.Query().Get("updated_at"); text != "" {
		asked.UpdatedAt, err = time.Parse(time.RFC3339, text)
		if asked.UpdatedAt = asked.UpdatedAt.UTC().Truncate(time.Second); err != nil || asked.UpdatedAt.Year() < 1900 || asked.UpdatedAt.Year() > 2100 {
			return asked, bad("The value for 'updated_at' is expected to be an RFC 3339 instant of the years 1900 to 2100, e.g. 2026-01-02T03:04:05Z")
		}
	}
	if text := r.URL.Query().Get("search_bytes"); text != "" {
		if asked.Most, err = strconv.ParseInt(text, 10, 64); err != nil || asked.Most <= 0 {
			return asked, bad("The value for 'search_bytes' is expected to be a whole number above 0: how many bytes of each topic are read at most")
		}
	}
	return asked, nil
}

// explainInLines is explain with lines, so that who waits sees how far it is.
func (a *API) explainInLines(rw http.ResponseWriter, r *request, c status.ConnectorStatus, asked explain.Request) {
	out := &lineWriter{rw: rw}
	asked.Progress = func(p explain.Progress) { out.write(ExplainLine{Progress: &p}) }
	pass := func(ctx context.Context, to status.Owner) (*answer, error) {
		in, err := a.open(ctx, r.Header, to, r.Method, r.URL.EscapedPath(), r.URL.Query(), nil, "application/json, "+LinesType)
		if err != nil {
			return nil, err
		}
		defer func() { _ = in.Body.Close() }()
		if in.StatusCode != http.StatusOK {
			return answerOf(in, to)
		}
		_, err = io.Copy(out, in.Body)
		return nil, err
	}
	got, err := a.ownersWorkWithin(r, c, notFound, explain.Patience, pass, func(ctx context.Context) (*answer, error) {
		got, err := a.owner.Explain(ctx, c.Name, asked)
		if err != nil {
			return nil, ofRequest(err)
		}
		out.write(ExplainLine{Answer: got})
		return nil, nil
	})
	switch {
	case err != nil && out.begun:
		e := errorOf(err)
		out.write(ExplainLine{Code: e.Code, Message: e.Message})
	case err != nil, got != nil:
		send(rw, got, err)
	}
}

// lineWriter writes lines that are on their way at once.
type lineWriter struct {
	rw    http.ResponseWriter
	begun bool
}

func (l *lineWriter) write(line ExplainLine) {
	if text, err := encode(line); err == nil {
		_, _ = l.Write(append(text, '\n')) // who asked may be gone
	}
}

// Write implements io.Writer for lines that come from another worker.
func (l *lineWriter) Write(b []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.rw.Header().Set("Content-Type", LinesType)
		l.rw.WriteHeader(http.StatusOK)
	}
	n, err := l.rw.Write(b)
	_ = http.NewResponseController(l.rw).Flush() // what can't be flushed comes with the end
	return n, err
}
