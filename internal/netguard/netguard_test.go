package netguard

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestPermit(t *testing.T) {
	g, err := Parse("10.1.0.0/16, 127.0.0.1 ,fd00::/8,")
	if err != nil {
		t.Fatal(err)
	}
	for addr, ok := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1": true, "10.1.2.3": true, "127.0.0.1": true, "::ffff:127.0.0.1": true, "fd12::1": true,
		"127.0.0.2": false, "10.2.0.1": false, "::1": false, "169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false,
		"192.168.1.1": false, "172.16.0.1": false, "100.100.100.200": false, "0.0.0.0": false, "255.255.255.255": false,
		"224.0.0.1": false, "::ffff:10.2.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "::": false, "::7f00:1": false,
		"2001:db8::1": false, "fec0::1": false, "fc00::1": false,
	} {
		if err := g.Permit(netip.MustParseAddr(addr)); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := (Guard)(nil).Permit(netip.MustParseAddr("10.1.2.3")); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for _, bad := range []string{"localhost", "10.0.0.0/33", "10.0.0.0/8;11.0.0.0/8", "fe80::1%eth0"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is taken for ranges", bad)
		}
	}
}

func TestControlSeesTheDialledAddress(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := (&net.Dialer{Control: Guard(nil).Control}).DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, ErrForbidden) {
		t.Errorf("dialled: %v", err)
	}
	loopback := Guard{netip.MustParsePrefix("127.0.0.0/8")}
	c, err := (&net.Dialer{Control: loopback.Control}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	for _, c := range [][2]string{{"udp4", "8.8.8.8:53"}, {"tcp4", "8.8.8.8"}, {"tcp4", "name:80"}} {
		if err := loopback.Control(c[0], c[1], nil); !errors.Is(err, ErrForbidden) {
			t.Errorf("%v: %v", c, err)
		}
	}
}
