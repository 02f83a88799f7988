package httprunner

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/tasktrail/tasktrail/agent"
)

// ErrForbiddenAddress is the error of a callback to an address that is not public
// and was not allowed. No further attempt is made.
var ErrForbiddenAddress = errors.New("the callback's address is not public and is not allowed")

// ErrCallback is the error of a callback URL that is missing or malformed. No
// further attempt is made.
var ErrCallback = errors.New("missing_callback")

// special are ranges that netip has no word for and that lead to no public host:
// RFC 6890 and its registries, and the prefixes that carry an IPv4 address within
// an IPv6 one.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// guard decides which addresses callbacks may go to.
type guard struct{ allow []netip.Prefix }

// permit is called with the address that is dialled, after DNS has answered, so
// that a name which changes its mind in between gains nothing.
func (g guard) permit(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return agent.Permanent(fmt.Errorf("%w: %q", ErrForbiddenAddress, address))
	}
	addr := ap.Addr().Unmap().WithZone("")
	for _, p := range g.allow {
		if p.Contains(addr) {
			return nil
		}
	}
	public := addr.IsGlobalUnicast() && !addr.IsPrivate() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast()
	for _, p := range special {
		public = public && !p.Contains(addr)
	}
	if !public {
		return agent.Permanent(fmt.Errorf("%w: %s", ErrForbiddenAddress, addr))
	}
	return nil
}

// maxRedirects is how many redirects of one callback are followed.
const maxRedirects = 5

// client calls through the guard, redirects included, and through no proxy: a
// proxy would be the one to dial.
func (g guard) client() *http.Client {
	dialer := &net.Dialer{
		Timeout: 10 * time.Second, KeepAlive: 30 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error { return g.permit(address) },
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 32, MaxIdleConns: 256,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return agent.Permanent(fmt.Errorf("the callback redirected more than %d times", maxRedirects))
			}
			// A 301, 302 or 303 turns into a GET without the task: its success would
			// be none.
			if req.Method != http.MethodPost {
				return agent.Permanent(errors.New("the callback redirected without its method: only 307 and 308 are followed"))
			}
			_, err := ParseCallback(req.URL.String())
			return err
		},
	}
}

// ParseCallback reads the URL of a callback; the error is permanent and says what
// is wrong with it.
func ParseCallback(s string) (*url.URL, error) {
	if strings.TrimSpace(s) == "" {
		return nil, agent.Permanent(fmt.Errorf("%w: the task has no callback_url", ErrCallback))
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		// What url.Parse says repeats the URL, which may hold a password.
		return nil, agent.Permanent(fmt.Errorf("%w: callback_url is malformed", ErrCallback))
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, agent.Permanent(fmt.Errorf("%w: callback_url is no http or https URL with a host", ErrCallback))
	}
	return u, nil
}
