package main

import (
	"testing"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/embedded"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/egress"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

func TestConnectorsOverRESTGoWhereTheWorkerLetsThem(t *testing.T) {
	address, stop, err := embedded.Serve(0, coupatest.New(coupatest.Config{ClientID: "id", ClientSecret: "s", Rows: 1}))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, test := range []struct {
		name   string
		rest   bool
		policy egress.Policy
		sent   bool
	}{
		{"over REST", true, egress.Policy{Hosts: []string{"*"}}, false},
		{"over REST, and the worker lets it", true, egress.Policy{Loopback: true}, true},
		{"from a file", false, egress.Policy{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &config.Connector{Submitted: test.rest, URL: address, ClientID: "id", ClientSecret: "s", TokenPath: "/oauth2/token"}
			source, err := newSources(test.policy).client(c, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.Now(t.Context())
			if sent := err == nil; sent != test.sent || !sent && coupa.KindOf(err) != coupa.Misconfigured {
				t.Errorf("%v", err)
			}
		})
	}
}
