package schemas

import (
	"strings"
	"testing"
)

// Tags stand in every form that a schema is registered in, and are none of what versions differ in.
func TestTagsOfPersonalDataAreInEveryFormOfASchema(t *testing.T) {
	t.Parallel()
	const tags = `"confluent:tags":["PII","PII_EMAIL"]`
	for name, o := range map[string]Options{"rows": {}, "envelopes": {Envelope: true}} {
		s, err := For("invoices", o)
		if err != nil {
			t.Fatal(err)
		}
		described, err := s.JSONSchema()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.JSON(), `"coupa.name":"requester-email",`+tags) || !strings.Contains(described, `"requester_email":{"description":"Requester email.","type":"string",`+tags+`}`) {
			t.Errorf("%s: the tags are missing", name)
		}
		untagged := strings.ReplaceAll(s.JSON(), `,`+tags, "")
		if d := Differences(untagged, s.JSON()); d != nil {
			t.Errorf("%s: a version without tags differs: %v", name, d)
		}
		if wide, err := s.Widen(untagged); err != nil || wide.JSON() != s.JSON() {
			t.Errorf("%s: widened by a version without tags it is another (%v)", name, err)
		}
	}
	suppliers, err := For("suppliers", Options{})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := suppliers.Split(false)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines.Lists {
		if strings.HasSuffix(l.Schema.Name(), "_contacts") && !strings.Contains(l.Schema.JSON(), `"coupa.name":"email",`+tags) {
			t.Error("the schema of a supplier's contacts, as lines, lacks the tags")
		}
	}
}
