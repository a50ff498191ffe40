//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
)

// levels has four subjects under levels of compatibility other than BACKWARD, and a
// custom field that appears in each object's rows as a number and goes on as a text.
// Every level takes the field. The text becomes a branch of its union where new readers
// alone must read old records; where old readers must read new ones, the registry refuses
// that, and the text stays in unmapped. The judge wants every row once and whole.
func (p *parts) levels(t *testing.T) {
	begun := time.Now()
	want := map[string]struct{ level, types string }{
		"suppliers": {"BACKWARD_TRANSITIVE", `["long","string"]`},
		"users":     {"FULL", `["long"]`},
		"contracts": {"FULL_TRANSITIVE", `["long"]`},
		"invoices":  {"FORWARD", `["long"]`},
	}
	tenant := p.tenant(t, "levels", "--rows", "120", "--changes-per-second", "0")
	w := p.worker(t, tenant, map[string]string{"coupa.objects": "suppliers,users,contracts,invoices", "custom.fields": "typed", "custom.fields.conflict": "widen"})
	for object, of := range want {
		s, err := schemas.For(object, schemas.Options{Custom: new(custom.Fields)})
		if err != nil {
			t.Fatal(err)
		}
		subject := tenant.name + "." + object + "-value"
		p.putRegistry(t, http.MethodPost, "/subjects/"+subject+"/versions", map[string]string{"schema": s.JSON()})
		p.putRegistry(t, http.MethodPut, "/config/"+subject, map[string]string{"compatibility": of.level})
	}
	w.start()
	came := func(value string) {
		for object := range want {
			for _, id := range slices.Sorted(maps.Keys(tenant.ids(t, object)))[:3] {
				tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/%s/%d/members/custom-fields", object, id), json.RawMessage(value), nil)
			}
		}
	}
	typed := regexp.MustCompile(`"coupa.name":"came-later","coupa.custom":(\[[^]]*\])`)
	types := func(object string) string {
		found := typed.FindStringSubmatch(p.latest(t, tenant.name+"."+object+"-value"))
		return strings.Join(found[min(1, len(found)):], "")
	}
	came(`{"came-later":7}`)
	for object, of := range want {
		if err := await(t.Context(), "the field in "+object, time.Minute, func() error {
			w.alive(t)
			if got := types(object); got != `["long"]` {
				return fmt.Errorf("its types under %s are %q", of.level, got)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	came(`{"came-later":"seven"}`)
	w.mustHold(t, begun)
	for object, of := range want {
		if got := types(object); got != of.types {
			t.Errorf("%s under %s: the types are %q, want %q", object, of.level, got, of.types)
		}
	}
	w.stop(t)
}
