package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

func TestObjectsListsEveryCollectionWithItsScope(t *testing.T) {
	t.Run("as text", func(t *testing.T) {
		text := program(t, "objects")
		if n := strings.Count(text.stdout, "\n"); text.status != exitDone || n != 96 {
			t.Errorf("status %d, %d lines, want a head and 95", text.status, n)
		}
	})
	var all []listedObject
	if err := json.Unmarshal([]byte(program(t, "objects", "-o", "json").stdout), &all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []listedObject{
		{Path: "purchase_orders", Record: "coupa.OrderHeader", Changes: []string{"updated-at"}, Lines: "order_lines", Topics: []string{"order_lines"}, Exported: true},
		{Path: "coupa_pay/payments", Record: "coupa.CoupaPay_Payment", Changes: []string{"updated-at"}, Topics: []string{"payment_details"}, Exported: true},
		{Path: "currencies", Record: "coupa.Currency", Changes: []string{"content"}},
		{Path: "contracts/legal_documents", Record: "coupa.LegalDocument", Changes: []string{"content"}},
		{Path: "budget_lines", Record: "coupa.BudgetLine", Changes: []string{"updated-at", "content"}, Deletes: true},
		{Path: "tasks", Record: "coupa.Task", Changes: []string{"updated-at"}, Deletes: true},
	} {
		found := false
		for _, got := range all {
			if got.Path == want.Path {
				found = got.Record == want.Record && slices.Equal(got.Changes, want.Changes) && got.Lines == want.Lines && slices.Equal(got.Topics, want.Topics) &&
					got.Exported == want.Exported && got.Deletes == want.Deletes && len(got.Scopes) > 0 && got.Doc != ""
			}
		}
		if !found {
			t.Errorf("%+v is not in the list", want)
		}
	}
}

var updateObjects = flag.Bool("update-objects", false, "write the table of schemas/OBJECTS.md anew")

// The document has the table of objects between two lines.
func TestTheDocumentListsEveryObject(t *testing.T) {
	const begin, end = "<!-- objects:begin -->\n", "<!-- objects:end -->"
	path, err := filepath.Abs("../../schemas/OBJECTS.md") // the program is run in another folder
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(document), begin)
	table, after, ended := strings.Cut(rest, end)
	got := program(t, "objects", "-o", "markdown")
	if !begun || !ended || got.status != 0 || strings.Count(got.stdout, "\n") < 93 {
		t.Fatalf("%s lacks the lines around the table, or there is no table: status %d\n%s", path, got.status, got.stdout)
	}
	if *updateObjects {
		if err := os.WriteFile(path, []byte(before+begin+got.stdout+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.stdout != table {
		t.Errorf("%s does not hold the present objects; run: go generate ./schemas", path)
	}
}

// What is said of a sub-collection is so: its object is in the row in full,
// or is the object of the collection that is named, or in full in its rows.
func TestSubCollectionsArriveAsListed(t *testing.T) {
	sub, own := 0, 0
	for _, r := range coupa.Resources() {
		for _, b := range r.Below {
			sub++
			in := b.In
			if in == "row" {
				in = r.Path
			}
			if in == r.Path+"/"+b.Name {
				own++
			}
			s, err := schemas.For(in, schemas.Options{})
			if err != nil {
				t.Fatalf("%s/%s: %v", r.Path, b.Name, err)
			}
			shown := regexp.MustCompile(`"name":"(\w+)"(?:,"namespace":"coupa")?(?:,"doc":"[^"]*")?,"coupa.object":"` + b.Object + `"`).FindStringSubmatch(s.JSON())
			if shown == nil || strings.HasSuffix(shown[1], "Ref") {
				t.Errorf("%s/%s is said to be in %s, which shows %q of %s", r.Path, b.Name, in, shown, b.Object)
			}
		}
	}
	if sub != 47 || own != 4 {
		t.Errorf("%d sub-collections, %d of them objects read through their parents; want 47 and 4", sub, own)
	}
}
