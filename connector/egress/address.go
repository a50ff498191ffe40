package egress

import "net/netip"

// kind says where an address leads.
type kind string

const (
	public   kind = "the public internet"
	private  kind = "a private network"
	loopback kind = "this machine"
	special  kind = "no host" // link-local with the metadata services, multicast, reserved
)

// Networks that netip.Addr has no question for, by the IANA's special-purpose registries.
var (
	privateNetworks = []netip.Prefix{
		netip.MustParsePrefix("100.64.0.0/10"), // carriers' NAT; clouds have services there
	}
	specialNetworks = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), // this host: some systems connect to loopback
		netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("192.0.2.0/24"),
		netip.MustParsePrefix("192.88.99.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("203.0.113.0/24"),
		netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("168.63.129.16/32"),   // Azure's services for virtual machines
		netip.MustParsePrefix("100.100.100.200/32"), // Alibaba's metadata service
		netip.MustParsePrefix("fd00:ec2::/32"),      // Amazon's services for virtual machines
		netip.MustParsePrefix("fd20:ce::254/128"),   // Google's metadata service
		netip.MustParsePrefix("::/96"),              // IPv4 addresses in IPv6 of old
		netip.MustParsePrefix("64:ff9b:1::/48"),     // NAT64 of a local network
		netip.MustParsePrefix("100::/64"),           // discarded
		netip.MustParsePrefix("2001::/23"),          // protocols, Teredo among them
		netip.MustParsePrefix("2001:db8::/32"),      // documentation
		netip.MustParsePrefix("3fff::/20"),          // documentation
		netip.MustParsePrefix("5f00::/16"),          // segment routing
		netip.MustParsePrefix("fec0::/10"),          // site-local of old
	}
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixToIV = netip.MustParsePrefix("2002::/16")
)

// kindOf classes an address, which is not an IPv4 address mapped to
// IPv6. An address that carries an IPv4 address leads where that does.
func kindOf(addr netip.Addr) kind {
	bytes := addr.As16()
	switch {
	case addr.IsLoopback():
		return loopback
	case nat64.Contains(addr):
		return kindOf(netip.AddrFrom4([4]byte(bytes[12:16])))
	case sixToIV.Contains(addr):
		return kindOf(netip.AddrFrom4([4]byte(bytes[2:6])))
	case !addr.IsGlobalUnicast() || within(addr, specialNetworks):
		return special
	case addr.IsPrivate() || within(addr, privateNetworks):
		return private
	}
	return public
}

func within(addr netip.Addr, networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
