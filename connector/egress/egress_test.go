package egress

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestAddressesAreClassedByWhereTheyLead(t *testing.T) {
	for text, want := range map[string]kind{
		"93.184.216.34": public, "2606:2800:220:1::1": public, "64:ff9b::5db8:d822": public, "2002:5db8:d822::1": public,
		"10.0.0.1": private, "172.31.255.255": private, "192.168.1.1": private, "100.64.0.1": private, "fd12::1": private, "64:ff9b::a00:1": private, "2002:a00:1::": private,
		"127.0.0.1": loopback, "127.9.9.9": loopback, "::1": loopback, "64:ff9b::7f00:1": loopback,
		"169.254.169.254": special, "fe80::1": special, "0.0.0.0": special, "0.1.2.3": special, "::": special, "224.0.0.1": special, "255.255.255.255": special,
		"168.63.129.16": special, "100.100.100.200": special, "fd00:ec2::254": special, "192.0.0.192": special, "::7f00:1": special,
		"64:ff9b::a9fe:a9fe": special, "2001:db8::1": special, "2001::1": special, "ff02::1": special,
	} {
		if got := kindOf(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestAPolicyLetsThroughWhatItNames(t *testing.T) {
	listed := Policy{Hosts: []string{"*.coupahost.com", "proxy.internal", "10.1.0.0/16", "::ffff:10.2.0.1"}}
	for _, c := range []struct {
		name   string
		policy Policy
		host   string
		addr   string // "": the host's name alone
		want   string // part of the refusal; "": let through
	}{
		{"below a pattern", listed, "acme.coupahost.com", "93.184.216.34", ""},
		{"letter case and the dot at the end don't count", listed, "ACME.CoupaHost.com.", "93.184.216.34", ""},
		{"a pattern is not its own parent", listed, "coupahost.com", "93.184.216.34", "is none of egress.allowed.hosts"},
		{"a pattern ends at a dot", Policy{Hosts: []string{"*.coupahost.com"}}, "evilcoupahost.com", "", "is none of egress.allowed.hosts"},
		{"a name below a pattern may not be private", listed, "acme.coupahost.com", "192.168.0.1", "a private network"},
		{"nor the metadata service", listed, "acme.coupahost.com", "169.254.169.254", "metadata service"},
		{"a listed name may be private", listed, "proxy.internal", "192.168.0.1", ""},
		{"a listed network, by address", listed, "10.1.2.3", "10.1.2.3", ""},
		{"a listed network, by a name", listed, "any.example.com", "10.1.2.3", ""},
		{"an address listed as IPv6", listed, "10.2.0.1", "10.2.0.1", ""},
		{"an address as IPv6 of a listed network", listed, "::ffff:10.1.2.3", "::ffff:10.1.2.3", ""},
		{"another address of the network", listed, "10.3.0.1", "10.3.0.1", "a private network"},
		{"a public host that is not listed", listed, "example.com", "93.184.216.34", "is none of egress.allowed.hosts"},
		{"everything public", Policy{Hosts: []string{"*"}}, "example.com", "93.184.216.34", ""},
		{"everything is not this machine", Policy{Hosts: []string{"*"}}, "example.com", "127.0.0.1", "this machine"},
		{"everything is not localhost", Policy{Hosts: []string{"*"}}, "localhost", "", "this machine"},
		{"everything is not an address of this machine", Policy{Hosts: []string{"*"}}, "127.0.0.2", "", "this machine"},
		{"a public address with a pattern in its zone", listed, "2606:4700:4700::1111%x.coupahost.com", "", "is none of egress.allowed.hosts"},
		{"the same, when it is connected to", listed, "2606:4700:4700::1111%x.coupahost.com", "2606:4700:4700::1111", "is none of egress.allowed.hosts"},
		{"an address with a zone", Policy{Hosts: []string{"*"}}, "fe80::1%eth0", "", "metadata service"},
		{"this machine", Policy{Loopback: true}, "localhost", "127.0.0.1", ""},
		{"this machine is not the network", Policy{Loopback: true}, "10.0.0.1", "", "a private network"},
		{"private networks", Policy{Private: true}, "10.0.0.1", "10.0.0.1", ""},
		{"private networks and this machine", Policy{Private: true}, "localhost", "::1", ""},
		{"private is not the metadata service", Policy{Private: true}, "169.254.169.254", "", "metadata service"},
		{"private is not public", Policy{Private: true}, "example.com", "93.184.216.34", "is none of egress.allowed.hosts"},
		{"nothing", Policy{}, "example.com", "93.184.216.34", "is none of egress.allowed.hosts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.policy.CheckHost(c.host)
			if err == nil && c.addr != "" {
				err = c.policy.checkAddr(canonical(c.host), netip.MustParseAddr(c.addr))
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestEntriesAreChecked(t *testing.T) {
	for _, good := range []string{"*", "*.coupahost.com", "acme.example.com", "10.0.0.0/8", "10.0.0.1", "fd00::/8"} {
		if err := CheckEntry(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "*.", "a*.com", "https://acme.com", "acme.com:443", "10.0.0.0/99"} {
		if CheckEntry(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// secretServer answers on loopback; hits counts.
func secretServer(t *testing.T) (address string, hits *int) {
	hits = new(int)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		*hits++
		if r.URL.Path == "/away" {
			http.Redirect(rw, r, "/", http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, hits
}

func TestANameThatResolvesToThisMachineIsNotConnectedTo(t *testing.T) {
	address, hits := secretServer(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	// The name passes, as one does whose owner points it here:
	// what counts is the address at the time of connecting.
	conn, err := Policy{Hosts: []string{"*"}}.dial(t.Context(), "tcp", "localhost:"+u.Port())
	var refused *Error
	if !errors.As(err, &refused) || !refused.Misconfigured() {
		t.Fatalf("%v, %v", conn, err)
	}
	if *hits != 0 {
		t.Error("the server was reached")
	}
}

func TestRequestsGoWhereThePolicyLetsThem(t *testing.T) {
	address, hits := secretServer(t)
	if res, err := (Policy{Loopback: true}).Client(time.Minute).Get(address); err != nil || res.Body.Close() != nil || *hits != 1 {
		t.Fatal(err, *hits)
	}
	if _, err := (Policy{Loopback: true}).Client(time.Minute).Get(address + "/away"); !errors.Is(err, errRedirect) || *hits != 2 {
		t.Errorf("a redirect was followed: %v, %d requests", err, *hits)
	}
	var refused *Error
	if _, err := (Policy{Hosts: []string{"*"}}).Client(time.Minute).Get(address); !errors.As(err, &refused) || *hits != 2 {
		t.Errorf("%v, %d requests", err, *hits)
	}
}

func TestThroughAProxyTheNameDecides(t *testing.T) {
	proxy, hits := secretServer(t)
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	way := Policy{Hosts: []string{"*.example.com"}, Private: true}.Transport(&http.Transport{Proxy: http.ProxyURL(u)})
	client := &http.Client{Transport: way}
	if res, err := client.Get("http://acme.example.com/"); err != nil || res.Body.Close() != nil || *hits != 1 {
		t.Fatal(err, *hits)
	}
	for _, host := range []string{"metadata.google.internal", "169.254.169.254"} {
		var refused *Error
		if _, err := client.Post("http://"+host+"/", "text/plain", strings.NewReader("x")); !errors.As(err, &refused) || *hits != 1 {
			t.Errorf("%s: %v, %d requests", host, err, *hits)
		}
	}
}
