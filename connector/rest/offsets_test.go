package rest

import (
	"net/url"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/status"
)

// What would happen is told, and does not happen.
func TestADryRunMovesNothing(t *testing.T) {
	f := newFake(t)
	api := f.api(t)
	f.running(t, api)
	before := ask(api, "GET", "/connectors/acme/offsets", "").Body.String()
	const want = `{"message":"Nothing was moved: dry_run asks what would happen","objects":[{"object":"invoices","from":null,` +
		`"again":{"rows":1200,"about":true},"left_out":{"rows":null,"about":false,"trace":"Coupa answers 503"}}]}`
	for _, c := range [][2]string{{"PATCH", `{"updated_at":"2025-01-01T00:00:00Z"}`}, {"DELETE", ""}} {
		if rec := ask(api, c[0], "/connectors/acme/offsets/invoices?dry_run=true", c[1]); rec.Code != 200 || rec.Body.String() != want {
			t.Errorf("%s: %d %s", c[0], rec.Code, rec.Body)
		}
	}
	if after := ask(api, "GET", "/connectors/acme/offsets", "").Body.String(); after != before || f.movedBy != (status.Asker{}) {
		t.Errorf("%s after a dry run, want %s", after, before)
	}
}

// The owner hears who asked and why, also where another worker was asked. A
// client can't name somebody else but by saying that it passes the request on.
func TestWhoMovesAPositionIsToldToTheOwner(t *testing.T) {
	f := newFake(t)
	api := f.api(t)
	f.running(t, api)
	for _, c := range []struct {
		query string
		want  status.Asker
		code  int
	}{
		{"", status.Asker{Who: "192.0.2.1:1234"}, 200},
		{"?reason=" + url.QueryEscape("rows of January were wrong"), status.Asker{Who: "192.0.2.1:1234", Reason: "rows of January were wrong"}, 200},
		{"?asked_by=alice", status.Asker{Who: "192.0.2.1:1234"}, 200},
		{"?forward=false&asked_by=alice", status.Asker{Who: "alice, passed on by 192.0.2.1:1234"}, 200},
		{"?reason=" + strings.Repeat("x", 201), status.Asker{}, 400},
		{"?reason=a%0Ab", status.Asker{}, 400},
	} {
		f.movedBy = status.Asker{}
		rec := ask(api, "PATCH", "/connectors/acme/offsets/invoices"+c.query, `{"updated_at":"2025-01-01T00:00:00Z"}`)
		if rec.Code != c.code || f.movedBy != c.want {
			t.Errorf("%s: %d, moved by %+v, want %d and %+v", c.query, rec.Code, f.movedBy, c.code, c.want)
		}
	}
}
