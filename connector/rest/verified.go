package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"time"

	"github.com/coupastream/coupastream/connector/status"
)

// verifiedRoutes take what `coupastream verify` has found.
func (a *API) verifiedRoutes() []route {
	return []route{{method: "POST", path: connectorPath + "/verified", do: a.noteVerified}}
}

// VerifiedHealth is the last comparison of an object with Coupa.
type VerifiedHealth struct {
	At        time.Time        `json:"at"`
	Since     *time.Time       `json:"since"` // null: rows were compared from the beginning
	Until     time.Time        `json:"until"`
	Rows      int64            `json:"rows"`
	Requested int64            `json:"requested"` // see [verify.Report]
	Found     map[string]int64 `json:"found"`     // differences by kind; empty: there was none
	// see [status.Verified]
	ProvenFrom  *time.Time `json:"proven_from"`
	ProvenUntil *time.Time `json:"proven_until"`
}

func verifiedHealth(v status.Verified) *VerifiedHealth {
	if v.At.IsZero() {
		return nil
	}
	h := &VerifiedHealth{
		At: v.At.UTC(), Since: instant(v.Since), Until: v.Until.UTC(), Rows: v.Rows, Requested: v.Requested, Found: v.Found,
		ProvenFrom: instant(v.ProvenFrom), ProvenUntil: instant(v.ProvenUntil),
	}
	if h.Found == nil {
		h.Found = map[string]int64{}
	}
	return h
}

// Comparison is what was found of a connector.
type Comparison struct {
	Tenant  string           `json:"tenant"`
	Objects []ComparedObject `json:"objects"`
}

// ComparedObject is what was found of one object, its lines included.
type ComparedObject struct {
	Object    string           `json:"object"`
	Topic     string           `json:"topic"`
	Since     *time.Time       `json:"since,omitempty"`
	Until     time.Time        `json:"until"`
	Rows      int64            `json:"rows"`
	Requested int64            `json:"requested"`
	Found     map[string]int64 `json:"found,omitempty"` // differences by kind
}

// mostKinds of differences are kept of an object, so that what is kept has a bound.
const mostKinds = 20

var kindOfDifference = regexp.MustCompile(`^[a-z_]{1,40}$`)

func (o ComparedObject) check() error {
	for _, at := range []*time.Time{o.Since, &o.Until} {
		if at != nil && (at.Year() < 1900 || at.Year() > 2100) {
			return bad("%s: since and until are expected to be RFC 3339 instants of the years 1900 to 2100", o.Object)
		}
	}
	if o.Rows < 0 || o.Requested < 0 || len(o.Found) > mostKinds {
		return bad("%s: rows and requested are expected not to be negative, and found to have %d kinds at most", o.Object, mostKinds)
	}
	for kind, n := range o.Found {
		if n <= 0 || !kindOfDifference.MatchString(kind) {
			return bad("%s: found is expected to hold numbers above 0 by the kind of the difference", o.Object)
		}
	}
	return nil
}

// noteVerified keeps what was found. Any worker can: it is the group's knowledge.
func (a *API) noteVerified(r *request) (*answer, error) {
	if _, err := r.object(); err != nil {
		return nil, err
	}
	var given Comparison
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&given); err != nil {
		return nil, bad("The body is no comparison: %v", err)
	}
	var all []status.Compared
	for _, o := range given.Objects {
		if err := o.check(); err != nil {
			return nil, err
		}
		v := status.Verified{Until: o.Until.UTC().Truncate(time.Second), Rows: o.Rows, Requested: o.Requested, Found: o.Found}
		if o.Since != nil {
			v.Since = o.Since.UTC().Truncate(time.Second)
		}
		all = append(all, status.Compared{Object: o.Object, Topic: o.Topic, Verified: v})
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
	defer cancel()
	if err := a.changer.NoteVerified(ctx, r.path["name"], given.Tenant, all); err != nil {
		return nil, a.failed(ofRequest(err), r.path["name"], notFound)
	}
	return empty(http.StatusNoContent), nil
}
