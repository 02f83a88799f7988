package channel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/internal/netguard"
)

// maxAnswerBytes is how much of an answer is read; its text is for the log.
const maxAnswerBytes = 4 << 10

// caller makes the HTTP calls of one channel.
type caller struct {
	url    string
	client *http.Client
}

func newCaller(c Config) *caller {
	dialer := &net.Dialer{Timeout: c.Timeout.D()}
	if !c.AllowPrivate {
		dialer.Control = netguard.Guard(nil).Control
	}
	return &caller{url: c.URL, client: &http.Client{
		Timeout: c.Timeout.D(),
		// No proxy: the guard has to see the address that is called.
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: c.Timeout.D(),
			MaxIdleConnsPerHost: c.Parallel, MaxConnsPerHost: c.Parallel, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post makes a call and says what came of it; header adds what is not on every
// call.
func (c *caller) post(ctx context.Context, url string, body []byte, header http.Header) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return &DeliveryError{Permanent: true, Err: scrubURL(err)}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "tasktrail")
	res, err := c.client.Do(req)
	if err != nil {
		return &DeliveryError{Err: scrubURL(err)}
	}
	defer func() { _ = res.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes)) // what can't be read is no news
	failed := &DeliveryError{
		Status: res.StatusCode, After: retryAfter(res.Header.Get("Retry-After"), time.Now()),
		Err: fmt.Errorf("%s %.200q", http.StatusText(res.StatusCode), strings.ToValidUTF8(string(answer), "\uFFFD")),
	}
	switch outcomeOf(res.StatusCode) {
	case delivered:
		return nil
	case refused:
		failed.Permanent = true
	case gone:
		failed.Gone = true
	}
	return failed
}

// scrubURL drops the URL from a *url.Error: paths of webhooks are secrets.
func scrubURL(err error) error {
	var u interface{ Unwrap() error }
	if errors.As(err, &u) {
		if inner := u.Unwrap(); inner != nil {
			return inner
		}
	}
	return errors.New("the call failed")
}

func (c *caller) close() { c.client.CloseIdleConnections() }
