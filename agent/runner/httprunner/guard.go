package httprunner

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/internal/netguard"
)

// ErrForbiddenAddress is the error of a callback to an address that is not public
// and was not allowed. No further attempt is made.
var ErrForbiddenAddress = errors.New("the callback's address is not public and is not allowed")

// ErrCallback is the error of a callback URL that is missing or malformed. No
// further attempt is made.
var ErrCallback = errors.New("missing_callback")

// maxRedirects is how many redirects of one callback are followed.
const maxRedirects = 5

// guarded makes a client that calls through the guard, redirects included, and
// through no proxy: a proxy would be the one to dial.
func guarded(g netguard.Guard) *http.Client {
	dialer := &net.Dialer{
		Timeout: 10 * time.Second, KeepAlive: 30 * time.Second,
		Control: func(network, address string, c syscall.RawConn) error {
			if err := g.Control(network, address, c); err != nil {
				return agent.Permanent(fmt.Errorf("%w: %w", ErrForbiddenAddress, err))
			}
			return nil
		},
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
