package lineage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// Bounds of sending.
const (
	perMinute   = 60
	requestTime = 10 * time.Second
)

// defaultPath is where OpenLineage's catalogs take events, unless the address says otherwise.
const defaultPath = "/api/v1/lineage"

// Config is what an Emitter is made of.
type Config struct {
	URL    string       // of the catalog, or of where exactly it takes events
	Key    coupa.Secret // sent as a bearer token; "": none is
	About  About
	Client *http.Client
	// Count is told what became of each request: "sent", "refused" or "failed".
	Count func(result string)
	Log   *slog.Logger
}

// Emitter sends what is due. It belongs to one goroutine.
type Emitter struct {
	cfg    Config
	watch  *Watch
	client *http.Client
	sent   []time.Time // requests of the last minute
	away   bool        // the last request failed, and the log says so
}

// New makes an Emitter, which sends nothing by itself.
func New(cfg Config) *Emitter {
	if u, err := url.Parse(cfg.URL); err == nil && strings.Trim(u.Path, "/") == "" {
		u.Path = defaultPath
		cfg.URL = u.String()
	}
	client := *cfg.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Emitter{cfg: cfg, watch: NewWatch(cfg.About), client: &client}
}

// Round sends what is due of tasks as they are, as far as the pace allows it and the catalog takes it.
func (e *Emitter) Round(ctx context.Context, tasks []Task) {
	for ctx.Err() == nil && e.mayGo(time.Now()) {
		event, told := e.watch.Due(time.Now(), tasks)
		if event == nil {
			return
		}
		result, err := e.post(ctx, event)
		if ctx.Err() != nil {
			return
		}
		e.cfg.Count(result)
		e.tell(result, event, err)
		if result == failed {
			return
		}
		told()
	}
}

// mayGo tells whether the pace allows another request, and counts it.
func (e *Emitter) mayGo(now time.Time) bool {
	for len(e.sent) > 0 && now.Sub(e.sent[0]) >= time.Minute {
		e.sent = e.sent[1:]
	}
	if len(e.sent) >= perMinute {
		return false
	}
	e.sent = append(e.sent, now)
	return true
}

// What becomes of a request.
const (
	taken   = "sent"
	refused = "refused" // the catalog will never take it: it is dropped
	failed  = "failed"  // what it told is due again
)

func (e *Emitter) post(ctx context.Context, event *Event) (result string, err error) {
	body, err := json.Marshal(event)
	if err != nil {
		return refused, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return refused, errors.New("openlineage.url is no address")
	}
	req.Header.Set("Content-Type", "application/json")
	if e.cfg.Key != "" {
		req.Header.Set("Authorization", "Bearer "+string(e.cfg.Key))
	}
	resp, err := e.client.Do(req)
	if err != nil {
		if is, ok := errors.AsType[*url.Error](err); ok {
			err = is.Err // without the address, which may hold a secret
		}
		return failed, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	switch {
	case resp.StatusCode/100 == 2:
		return taken, nil
	case resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusTooManyRequests:
		return refused, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return failed, fmt.Errorf("HTTP %d", resp.StatusCode)
}

// tell logs the first of several failures, and their end.
func (e *Emitter) tell(result string, event *Event, err error) {
	was := e.away
	e.away = result != taken
	switch {
	case e.away && !was:
		e.cfg.Log.Warn("lineage can't be told; see openlineage.url", "result", result, "job", event.Job.Name, "event", event.Type, "error", err)
	case was && !e.away:
		e.cfg.Log.Info("lineage is told again")
	}
}
