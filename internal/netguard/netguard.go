// Package netguard keeps calls to addresses that others named from reaching what
// only this machine or its network can: loopback, private, link-local and reserved
// addresses, the metadata services of clouds among them.
package netguard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// ErrForbidden is the error of a call to an address that is not public and was not
// allowed.
var ErrForbidden = errors.New("the address is private, loopback, link-local or reserved, and is not allowed")

// reserved are the special-purpose blocks of IANA's registries that netip has no
// word for, and the IPv6 prefixes that carry an IPv4 address within.
var reserved = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// Guard allows public addresses and those of its ranges.
type Guard []netip.Prefix

// Parse reads ranges, such as 10.1.0.0/16 or 127.0.0.1, separated by commas.
func Parse(list string) (Guard, error) {
	var g Guard
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if one == "" {
			continue
		}
		p, err := netip.ParsePrefix(one)
		if err != nil {
			a, aerr := netip.ParseAddr(one)
			if aerr != nil || a.Zone() != "" {
				return nil, fmt.Errorf("%q is no range of addresses such as 10.1.0.0/16", one)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		g = append(g, p.Masked())
	}
	return g, nil
}

// Permit reports why an address may not be called, nil where it may.
func (g Guard) Permit(addr netip.Addr) error {
	if addr.Zone() != "" {
		return fmt.Errorf("%s: %w", addr, ErrForbidden)
	}
	addr = addr.Unmap()
	for _, p := range g {
		if p.Contains(addr) {
			return nil
		}
	}
	public := addr.IsGlobalUnicast() && !addr.IsPrivate() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast()
	for _, p := range reserved {
		public = public && !p.Contains(addr)
	}
	if !public {
		return fmt.Errorf("%s: %w", addr, ErrForbidden)
	}
	return nil
}

// Control is for a [net.Dialer]: it sees the address after the name was resolved,
// right before it is connected to, so that no answer of a DNS server slips past it.
func (g Guard) Control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("network %s: %w", network, ErrForbidden)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, ErrForbidden)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, ErrForbidden)
	}
	return g.Permit(addr)
}
