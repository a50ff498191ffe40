package preflight

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/schemas/registry"
)

// Verdict is what became of one thing that was tried.
type Verdict string

// The verdicts. What was not tried stops no run as far as is known.
const (
	OK       Verdict = "ok"
	NotOK    Verdict = "not ok"
	NotTried Verdict = "not tried"
)

// Finding is one thing that a run needs, and what became of trying it.
type Finding struct {
	Check   string  `json:"check"` // what was tried: "topic coupa.invoices"
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail,omitempty"`
	Remedy  string  `json:"remedy,omitempty"` // of what is not ok
	File    string  `json:"file,omitempty"`   // whose content needs it
	// Passes says of what is not ok that it may pass by itself; else somebody has
	// to change a file, a right or a setting, here or at what was tried.
	Passes bool `json:"passes,omitempty"`
}

// Config is what is tried.
type Config struct {
	Settings   *config.Worker
	Connectors []*config.Connector
	Kafka      []kgo.Opt
	Registry   *registry.Client // nil: no object has schemas
	Version    string           // of this program
}

// Try tries all of it, and tells of each thing when it is known, from this goroutine.
func Try(ctx context.Context, cfg Config, tell func(Finding)) {
	t := &trial{Config: cfg, tell: tell}
	t.local(ctx)
	t.kafka(ctx)
	t.schemas(ctx)
}

// trial is one run of Try.
type trial struct {
	Config
	tell func(Finding)
}

func (t *trial) ok(check, detail string) {
	t.tell(Finding{Check: check, Verdict: OK, Detail: detail, File: t.Settings.File})
}

func (t *trial) notTried(check, why string) {
	t.tell(Finding{Check: check, Verdict: NotTried, Detail: why, File: t.Settings.File})
}

// wrong tells of what somebody has to change.
func (t *trial) wrong(check, detail, remedy string) {
	t.tell(Finding{Check: check, Verdict: NotOK, Detail: detail, Remedy: remedy, File: t.Settings.File})
}

// failed tells of what may pass by itself.
func (t *trial) failed(check string, err error, remedy string) {
	t.tell(Finding{Check: check, Verdict: NotOK, Detail: cause(err), Remedy: remedy, File: t.Settings.File, Passes: true})
}

// cause is an error's text; the time limits are those of this package.
func cause(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
