package rest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/status"
)

// Who asks for lines hears how far the answer is, also of another worker; and then what went wrong.
func TestAnAnswerInLinesTellsHowFarItIs(t *testing.T) {
	p := newPair(t)
	for _, name := range []string{"gamma", "acme"} { // of this worker, and of the other one
		path := "/connectors/" + name + "/explain/invoices/"
		got := func(id string) []ExplainLine {
			rec := ask(p.api, "GET", path+id, "", "Accept", "application/json, "+LinesType)
			if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != LinesType || !rec.Flushed {
				t.Fatalf("%s: %d %s %s, flushed %t", path+id, rec.Code, rec.Header(), rec.Body, rec.Flushed)
			}
			var lines []ExplainLine
			for text := range strings.Lines(rec.Body.String()) {
				var line ExplainLine
				if err := json.Unmarshal([]byte(text), &line); err != nil {
					t.Fatal(err)
				}
				lines = append(lines, line)
			}
			return lines
		}
		if l := got("7"); len(l) != 2 || l[0].Progress == nil || l[0].Progress.Records != 7 || l[1].Answer == nil || l[1].Answer.Connector != name || l[1].Answer.ID != 7 {
			t.Errorf("%s: %+v", name, l)
		}
		if l := got("13"); len(l) != 2 || l[1].Code != 500 || l[1].Message != errBroker.Error() {
			t.Errorf("%s: %+v", name, l)
		}
		if rec := ask(p.api, "GET", path+"x", "", "Accept", "application/json, "+LinesType); rec.Code != 400 || !strings.Contains(rec.Body.String(), "whole number") {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if r := p.asked[0]; !strings.Contains(r.Header.Get("Accept"), LinesType) || r.URL.Query().Get("forward") != "false" {
		t.Errorf("asked %s with %q", r.URL, r.Header)
	}
	p.second.change("acme", func(c *status.ConnectorStatus) { c.Owner = status.Owner{} })
	if rec := ask(p.api, "GET", "/connectors/acme/explain/invoices/7", "", "Accept", "application/json, "+LinesType); rec.Code != 409 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
