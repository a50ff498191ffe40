package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coupastream/coupastream/connector/explain"
	"github.com/coupastream/coupastream/connector/rest"
)

// Explain tells why a row is in its topic, or is not; progress is told now and then how far it is.
func (c *Client) Explain(ctx context.Context, name string, r explain.Request) (*explain.Answer, error) {
	query := url.Values{}
	if !r.UpdatedAt.IsZero() {
		query.Set("updated_at", r.UpdatedAt.UTC().Format(time.RFC3339))
	}
	if r.Most > 0 {
		query.Set("search_bytes", strconv.FormatInt(r.Most, 10))
	}
	where := path("connectors", name, "explain", r.Object, strconv.FormatInt(r.ID, 10))
	res, err := c.open(ctx, http.MethodGet, where, query, nil, "application/json, "+rest.LinesType)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	for lines := json.NewDecoder(io.LimitReader(res.Body, mostAnswer)); ; {
		var line rest.ExplainLine
		err := lines.Decode(&line)
		var notJSON *json.SyntaxError
		var notOurs *json.UnmarshalTypeError
		switch {
		case errors.As(err, &notJSON), errors.As(err, &notOurs):
			return nil, c.notAWorkers(err)
		case err != nil: // the end among them, before the answer
			return nil, c.unreached(ctx, err)
		case line.Answer != nil:
			return line.Answer, nil
		case line.Code != 0:
			return nil, &Error{Status: line.Code, Message: line.Message}
		case line.Progress != nil && r.Progress != nil:
			r.Progress(*line.Progress)
		}
	}
}
