package egress

import (
	"fmt"
	"net/netip"
	"strings"
)

// Policy says where requests may go. The zero Policy lets none through.
type Policy struct {
	// Hosts are the hosts that may be reached: a name; a name behind "*." for all below it;
	// an address or a network such as 10.1.0.0/16; "*" for everything. A name and an address
	// may be private. What "*" stands for may not: its addresses are to be public ones.
	Hosts []string
	// Private lets requests go to private networks and to this machine, whatever the host's name.
	Private bool
	// Loopback lets requests go to this machine, whatever the host's name.
	Loopback bool
}

// Error says that a request was not sent, because its host is not one that may be reached.
type Error struct {
	Host   string
	Reason string // completes "host …"
	Remedy string
}

func (e *Error) Error() string { return e.Host + " " + e.Reason + "; " + e.Remedy }

// Misconfigured says that trying again does not help.
func (*Error) Misconfigured() bool { return true }

// CheckHost tells whether requests to a host may be sent, as far as its name shows:
// what a name resolves to is looked at when it is connected to. The error is an *Error.
func (p Policy) CheckHost(host string) error {
	host = canonical(host)
	if addr, ok := literal(host); ok {
		return p.checkAddr(host, addr)
	}
	if p.names(host) || p.patterns(host) || p.Private || p.hasNetworks() {
		return nil
	}
	return p.notListed(host)
}

// checkProxied tells whether a host may be reached through a proxy, which resolves its name.
func (p Policy) checkProxied(host string) error {
	host = canonical(host)
	if addr, ok := literal(host); ok {
		return p.checkAddr(host, addr)
	}
	if p.names(host) || p.patterns(host) {
		return nil
	}
	return p.notListed(host)
}

// checkAddr tells whether a host may be reached at an address of its.
func (p Policy) checkAddr(host string, addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if p.names(host) || p.contains(addr) {
		return nil
	}
	kind := kindOf(addr)
	switch {
	case kind == loopback && (p.Loopback || p.Private), kind == private && p.Private, kind == public && p.patterns(host):
		return nil
	case kind == public:
		return p.notListed(host)
	case kind == special:
		return &Error{host, "is at an address that is no host's, such as a cloud's metadata service", "give another host, or list the address in egress.allowed.hosts"}
	}
	return &Error{host, "is at an address of " + string(kind) + ", which connectors made over REST may not reach",
		"give another host, or list this one in egress.allowed.hosts, or set coupa.url.allow.private = true"}
}

func (p Policy) notListed(host string) error {
	return &Error{host, fmt.Sprintf("is none of egress.allowed.hosts (%s)", strings.Join(p.Hosts, ", ")), "give one of these, or list it there in the worker's file"}
}

// names tells whether a host is listed by its very name.
func (p Policy) names(host string) bool {
	for _, entry := range p.Hosts {
		if canonical(entry) == host {
			return true
		}
	}
	return false
}

// patterns tells whether a host is below a listed one. An
// address is below none, whatever stands in its zone.
func (p Policy) patterns(host string) bool {
	_, err := netip.ParseAddr(host)
	for _, entry := range p.Hosts {
		suffix, wild := strings.CutPrefix(canonical(entry), "*")
		if wild && (suffix == "" || err != nil && len(suffix) > 1 && suffix[0] == '.' && len(host) > len(suffix) && strings.HasSuffix(host, suffix)) {
			return true
		}
	}
	return false
}

// contains tells whether an address is in a listed network.
func (p Policy) contains(addr netip.Addr) bool {
	for _, entry := range p.Hosts {
		if network, ok := networkOf(entry); ok && network.Contains(addr) {
			return true
		}
	}
	return false
}

func (p Policy) hasNetworks() bool {
	for _, entry := range p.Hosts {
		if _, ok := networkOf(entry); ok {
			return true
		}
	}
	return false
}

// CheckEntry tells what is wrong with an entry of Policy.Hosts.
func CheckEntry(entry string) error {
	name := strings.TrimPrefix(canonical(entry), "*.")
	_, address := networkOf(entry)
	switch {
	case entry == "*" || address:
		return nil
	case name == "" || strings.ContainsAny(name, "*/:@ "):
		return fmt.Errorf("%q is not a host, a network, or *. before a host", entry)
	}
	return nil
}

// networkOf reads an address or a network.
func networkOf(entry string) (netip.Prefix, bool) {
	if network, err := netip.ParsePrefix(entry); err == nil {
		return network, true
	}
	if addr, err := netip.ParseAddr(entry); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), true
	}
	return netip.Prefix{}, false
}

// literal reads a host that is an address, or localhost, which is one wherever it is asked for.
func literal(host string) (netip.Addr, bool) {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

// canonical is a host's name for comparing.
func canonical(host string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(host)), ".")
}
