package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/rest/security"
	"github.com/coupastream/coupastream/connector/status"
)

// offsetOwner is the owner's part in this.
type offsetOwner interface {
	Offsets(ctx context.Context, name string) ([]status.Offset, error)
	// of a STOPPED connector
	AlterOffsets(ctx context.Context, name string, offsets []status.Offset, by status.Asker) error
	// in any state
	MoveOffsets(ctx context.Context, name string, offsets []status.Offset, by status.Asker) error
	// of a STOPPED connector
	ResetOffsets(ctx context.Context, name string, by status.Asker) error
	// what these would do; nil: what ResetOffsets would
	WeighOffsets(ctx context.Context, name string, offsets []status.Offset) ([]status.Weight, error)
}

// offsetRoutes are about positions: Connect's of a whole connector, and ours of one object.
func (a *API) offsetRoutes() []route {
	return []route{
		{method: "GET", path: connectorPath + "/offsets", do: a.offsets},
		{method: "PATCH", path: connectorPath + "/offsets", do: a.alterOffsets},
		{method: "DELETE", path: connectorPath + "/offsets", do: a.resetOffsets},
		{method: "GET", path: connectorPath + "/offsets/{object}", do: a.objectOffset},
		{method: "PATCH", path: connectorPath + "/offsets/{object}", do: a.alterObjectOffset},
		{method: "DELETE", path: connectorPath + "/offsets/{object}", do: a.resetObjectOffset},
	}
}

// offsetEntry is the position of one object, as Connect writes positions.
type offsetEntry struct {
	Partition offsetPartition `json:"partition"`
	Offset    *offsetValue    `json:"offset"` // null in a request: the object begins anew
}

type offsetPartition struct {
	Tenant string `json:"tenant"`
	Object string `json:"object"`
}

type offsetValue struct {
	UpdatedAt *string `json:"updated_at"`
	ID        int64   `json:"id"`
}

type offsetList struct {
	Offsets []offsetEntry `json:"offsets"`
}

const (
	altered = "The offsets for this connector have been altered successfully"
	reset   = "The offsets for this connector have been reset successfully"
)

type message struct {
	Message string `json:"message"`
}

func entryOf(o status.Offset) offsetEntry {
	e := offsetEntry{offsetPartition{o.Tenant, o.Object}, &offsetValue{ID: o.ID}}
	if !o.UpdatedAt.IsZero() {
		at := o.UpdatedAt.UTC().Format(time.RFC3339)
		e.Offset.UpdatedAt = &at
	}
	return e
}

// offsets tells the committed position of every object that has one.
func (a *API) offsets(r *request) (*answer, error) {
	return a.readOffsets(r, func(all []status.Offset) (*answer, error) {
		list := offsetList{[]offsetEntry{}}
		for _, o := range all {
			list.Offsets = append(list.Offsets, entryOf(o))
		}
		return ok(list)
	})
}

func (a *API) readOffsets(r *request, tell func([]status.Offset) (*answer, error)) (*answer, error) {
	c, err := a.usable(r)
	if err != nil {
		return nil, err
	}
	return a.ownersWork(r, c, notFound, func(ctx context.Context) (*answer, error) {
		all, err := a.owner.Offsets(ctx, c.Name)
		if err != nil {
			return nil, err
		}
		return tell(all)
	})
}

// alterOffsets sets positions of a stopped connector. As in Connect, that something
// is given is checked before everything else, and what is not named stays.
func (a *API) alterOffsets(r *request) (*answer, error) {
	members, err := r.object()
	if err != nil {
		return nil, err
	}
	if err := only(members, "offsets"); err != nil {
		return nil, err
	}
	var given []json.RawMessage
	if err := json.Unmarshal(orNull(members["offsets"]), &given); err != nil {
		return nil, bad(`"offsets" is not a list of partitions with their offsets: %v`, err)
	}
	if len(given) == 0 {
		return nil, bad("Partitions / offsets need to be provided for an alter offsets request")
	}
	c, err := a.stopped(r)
	if err != nil {
		return nil, err
	}
	var offsets []status.Offset
	for i, text := range given {
		o, err := readEntry(text, c)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(offsets, func(other status.Offset) bool { return other.Object == o.Object }) {
			return nil, bad("offsets[%d] names the object %q a second time", i, o.Object)
		}
		offsets = append(offsets, o)
	}
	return a.move(r, c, altered, offsets, func(ctx context.Context, by status.Asker) error {
		return a.owner.AlterOffsets(ctx, c.Name, offsets, by)
	})
}

// move has the owner move positions, or with dry_run tell what that would do. What it finds wrong
// with them is not wrong with the connector's configuration.
func (a *API) move(r *request, c status.ConnectorStatus, done string, offsets []status.Offset, move func(context.Context, status.Asker) error) (*answer, error) {
	by, err := askerOf(r)
	if err != nil {
		return nil, err
	}
	return a.ownersWork(r, c, notFound, func(ctx context.Context) (*answer, error) {
		if r.isTrue("dry_run") {
			all, err := a.owner.WeighOffsets(ctx, c.Name, offsets)
			if err != nil {
				return nil, ofRequest(err)
			}
			return ok(weighed(all))
		}
		if err := move(ctx, by); err != nil {
			return nil, ofRequest(err)
		}
		return ok(message{done})
	})
}

// maxReason is how long the reason for a change may be.
const maxReason = 200

// askerOf tells who sent a request, and why. What another worker passes on
// says who sent it there; who may ask so may do all that is asked.
func askerOf(r *request) (status.Asker, error) {
	query := r.URL.Query()
	by := status.Asker{Who: security.CallerOf(r.Context()).Name, Reason: query.Get("reason")}
	if by.Who == "" {
		by.Who = r.RemoteAddr
	}
	if first := query.Get(askedByKey); first != "" && !mayForward(r) {
		by.Who = first + ", passed on by " + by.Who
	}
	for _, text := range []string{by.Who, by.Reason} {
		if utf8.RuneCountInString(text) > maxReason || strings.ContainsFunc(text, unicode.IsControl) {
			return by, bad("A reason has at most %d characters, on one line", maxReason)
		}
	}
	return by, nil
}

// Weights are what moving positions would do.
type Weights struct {
	Message string   `json:"message"`
	Objects []Weight `json:"objects"`
}

// Weight is what moving one object would do to rows, by what Coupa has now.
type Weight struct {
	Object  string     `json:"object"`
	From    *time.Time `json:"from"`     // where it is; null: nowhere yet
	Again   RowCount   `json:"again"`    // rows that go out once more, and what is new
	LeftOut RowCount   `json:"left_out"` // changed rows that are not read any more
}

// RowCount is a number of rows; null is not known.
type RowCount struct {
	Rows  *int64 `json:"rows"`
	About bool   `json:"about"` // reckoned from ids, as they are many
	Trace string `json:"trace,omitempty"`
}

func weighed(all []status.Weight) Weights {
	w := Weights{Message: "Nothing was moved: dry_run asks what would happen", Objects: []Weight{}}
	for _, one := range all {
		w.Objects = append(w.Objects, Weight{Object: one.Object, From: instant(one.From.UpdatedAt), Again: rowCount(one.Again), LeftOut: rowCount(one.LeftOut)})
	}
	return w
}

func rowCount(c status.Count) RowCount {
	if c.Unknown != "" {
		return RowCount{Trace: c.Unknown}
	}
	return RowCount{Rows: &c.Rows, About: c.About}
}

// resetOffsets has every object of a stopped connector begin anew.
func (a *API) resetOffsets(r *request) (*answer, error) {
	c, err := a.stopped(r)
	if err != nil {
		return nil, err
	}
	return a.move(r, c, reset, nil, func(ctx context.Context, by status.Asker) error { return a.owner.ResetOffsets(ctx, c.Name, by) })
}

// usable finds the connector of a request about its positions, which one without tasks has none of.
func (a *API) usable(r *request) (status.ConnectorStatus, error) {
	c, err := a.reader.Connector(r.path["name"])
	if err != nil {
		return c, a.failed(err, r.path["name"], notFound)
	}
	if c.State == status.Failed {
		return c, bad("Connector %s has no offsets while its configuration can't be used: %s", c.Name, c.Trace)
	}
	return c, nil
}

// stopped finds the connector of a request that needs it STOPPED.
func (a *API) stopped(r *request) (status.ConnectorStatus, error) {
	c, err := a.usable(r)
	if err == nil && c.State != status.Stopped { // for all that is known here
		ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
		defer cancel()
		if err := a.changer.Refresh(ctx); err != nil {
			return c, a.failed(err, c.Name, notFound)
		}
		c, err = a.usable(r)
	}
	if err == nil && c.State != status.Stopped {
		err = a.failed(connector.ErrNotStopped, c.Name, notFound)
	}
	return c, err
}

// Beyond Connect: the position of one object, which can be altered in any state of the connector.

func (a *API) objectOffset(r *request) (*answer, error) {
	return a.readOffsets(r, func(all []status.Offset) (*answer, error) {
		for _, o := range all {
			if o.Object == r.path["object"] {
				return ok(entryOf(o))
			}
		}
		return nil, &apiError{http.StatusNotFound, fmt.Sprintf("No offset found for object %s of connector %s", r.path["object"], r.path["name"])}
	})
}

func (a *API) alterObjectOffset(r *request) (*answer, error) {
	members, err := r.object()
	if err != nil {
		return nil, err
	}
	if err := only(members, "updated_at", "id"); err != nil {
		return nil, err
	}
	c, err := a.withObject(r)
	if err != nil {
		return nil, err
	}
	o, err := readOffset(r.body, c, r.path["object"])
	if err != nil {
		return nil, err
	}
	return a.moveOne(r, c, altered, o)
}

func (a *API) resetObjectOffset(r *request) (*answer, error) {
	c, err := a.withObject(r)
	if err != nil {
		return nil, err
	}
	return a.moveOne(r, c, reset, status.Offset{Tenant: c.Tenant, Object: r.path["object"], Reset: true})
}

func (a *API) moveOne(r *request, c status.ConnectorStatus, done string, to status.Offset) (*answer, error) {
	one := []status.Offset{to}
	return a.move(r, c, done, one, func(ctx context.Context, by status.Asker) error { return a.owner.MoveOffsets(ctx, c.Name, one, by) })
}

// withObject finds the connector of a request about one of its objects.
func (a *API) withObject(r *request) (status.ConnectorStatus, error) {
	c, err := a.usable(r)
	if err != nil {
		return c, err
	}
	if !slices.Contains(objectsOf(c), r.path["object"]) {
		return c, &apiError{http.StatusNotFound, fmt.Sprintf("Connector %s has no object %s; it has %s", c.Name, r.path["object"], strings.Join(objectsOf(c), ", "))}
	}
	return c, nil
}

func objectsOf(c status.ConnectorStatus) []string {
	var paths []string
	for _, t := range c.Tasks {
		paths = append(paths, t.Object)
	}
	return paths
}

// readEntry reads a partition with its offset.
func readEntry(text json.RawMessage, c status.ConnectorStatus) (status.Offset, error) {
	var o status.Offset
	members, err := parseObject(text, "An entry of offsets")
	if err != nil {
		return o, err
	}
	if err := only(members, "partition", "offset"); err != nil {
		return o, err
	}
	partition, err := parseObject(orNull(members["partition"]), "The partition of an entry")
	if err != nil {
		return o, err
	}
	if err := only(partition, "tenant", "object"); err != nil {
		return o, err
	}
	object, err := stringMember(partition, "object")
	if err != nil {
		return o, err
	}
	if _, given := partition["tenant"]; given { // there is one only
		tenant, err := stringMember(partition, "tenant")
		if err != nil {
			return o, err
		}
		if tenant != c.Tenant {
			return o, bad("The partition's tenant is %q, and the connector's is %q", tenant, c.Tenant)
		}
	}
	if !slices.Contains(objectsOf(c), object) {
		return o, bad("The connector has no object %q; it has %s", object, strings.Join(objectsOf(c), ", "))
	}
	if isNull(members["offset"]) {
		return status.Offset{Tenant: c.Tenant, Object: object, Reset: true}, nil
	}
	return readOffset(members["offset"], c, object)
}

// readOffset reads an offset that is not null.
func readOffset(text json.RawMessage, c status.ConnectorStatus, object string) (status.Offset, error) {
	o := status.Offset{Tenant: c.Tenant, Object: object}
	members, err := parseObject(text, "The offset")
	if err != nil {
		return o, err
	}
	if err := only(members, "updated_at", "id"); err != nil {
		return o, err
	}
	if o.UpdatedAt, err = instantMember(members, "updated_at"); err != nil {
		return o, err
	}
	if id := members["id"]; !isNull(id) {
		if err := json.Unmarshal(id, &o.ID); err != nil || o.ID < 0 {
			return o, bad("The value for the 'id' key in the offset is expected to be a Long value of at least 0")
		}
	}
	return o, nil
}

func stringMember(members map[string]json.RawMessage, name string) (string, error) {
	var s string
	if err := json.Unmarshal(orNull(members[name]), &s); err != nil || isNull(members[name]) {
		return "", bad("The key '%s' is expected, with a string", name)
	}
	return s, nil
}

func instantMember(members map[string]json.RawMessage, name string) (time.Time, error) {
	text, err := stringMember(members, name)
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, text)
	if at = at.UTC(); err != nil || at.Year() < 1 || at.Year() > 9999 || at.IsZero() {
		return time.Time{}, bad("The value for the '%s' key is expected to be an RFC 3339 instant, e.g. 2026-01-02T03:04:05Z", name)
	}
	return at, nil
}

func isNull(text json.RawMessage) bool { return len(text) == 0 || string(text) == "null" }

func orNull(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return json.RawMessage("null")
	}
	return text
}
