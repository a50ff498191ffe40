package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/coupastream/coupastream/connector/contract"
)

// A contract of files is that of a running worker, and is the same document in both forms.
func TestAContractIsPrinted(t *testing.T) {
	var document contract.Document
	got := program(t, "contract", "lined.yaml", "invoices", "--worker", "worker.yaml", "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &document); err != nil || got.status != 0 || len(document.Schema) != 4 || len(document.Servers) != 1 {
		t.Fatalf("status %d, %v: %s%.300s", got.status, err, got.stderr, got.stdout)
	}
	t.Chdir("..")
	url := worker(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() != "/connectors/acme/contract?object=invoices&object=users" {
			t.Errorf("asked for %s", r.URL.RequestURI())
		}
		_ = json.NewEncoder(rw).Encode(document)
	}))
	asked := program(t, "contract", "acme", "invoices", "users", "--url", url)
	var read any
	if err := yaml.Unmarshal([]byte(asked.stdout), &read); err != nil || asked.status != 0 || !strings.HasPrefix(asked.stdout, "apiVersion: v3.1.0\nkind: DataContract\n") {
		t.Fatalf("status %d, %v: %s%.300s", asked.status, err, asked.stderr, asked.stdout)
	}
	again, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	var back contract.Document
	if err := json.Unmarshal(again, &back); err != nil || back.Version != document.Version || len(back.Schema[0].Properties) != len(document.Schema[0].Properties) {
		t.Errorf("%v: as YAML it is another", err)
	}
}

func TestAContractThatCannotBeMade(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"acme.yaml", "users"}, "acme.yaml: object = \"users\": no object of connector acme; give one of its coupa.objects\n"},
		{[]string{"acme.yaml", "-o", "xml"}, "coupastream: --output \"xml\" is not a form; give yaml or json\n"},
		{[]string{"bad-connector.json"}, badConnector},
		{[]string{"acme.yaml", "--worker", "bad-worker.yaml"}, badWorker},
	} {
		if got := program(t, append([]string{"contract"}, test.args...)...); got != (result{2, "", test.want}) {
			t.Errorf("%v: %+v, want %q", test.args, got, test.want)
		}
		t.Chdir("..")
	}
}
