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

func TestConnectorsToOneHostShareALimiterAndMustAgreeOnIt(t *testing.T) {
	t.Parallel()
	auto, more, number := &config.Connector{RateAuto: true, RateMax: 25}, &config.Connector{RateAuto: true, RateMax: 60}, &config.Connector{RateLimit: 25}
	s := newSources(egress.Policy{})
	first, release, err := s.acquire("a.example", auto)
	if err != nil {
		t.Fatal(err)
	}
	second, releaseToo, err := s.acquire("a.example", auto)
	if err != nil || second != first {
		t.Errorf("%v: another limiter for the same host: %v", err, second != first)
	}
	for _, c := range []*config.Connector{more, number} {
		if _, _, err := s.acquire("a.example", c); err == nil {
			t.Errorf("%s beside %s is taken", c.Pace(), auto.Pace())
		}
		if _, _, err := s.acquire(c.Pace(), c); err != nil {
			t.Error(err)
		}
	}
	release()
	releaseToo()
	if _, _, err := s.acquire("a.example", number); err != nil {
		t.Error(err)
	}
}
