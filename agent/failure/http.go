package failure

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxSnippet bounds what is kept of an error response's body.
const maxSnippet = 2 << 10

// HTTPError is an HTTP response that was not a success.
type HTTPError struct {
	// Status is the status code.
	Status int
	// Header is the response's header; Retry-After and Date are read.
	Header http.Header
	// Body is the beginning of the response's body, for the message.
	Body string
	// At is when the answer came; the moment of classification where zero.
	At time.Time
}

// NewHTTPError returns the error for a response outside 2xx, and nil for one
// inside. It reads at most 2 KiB of the body and does not close it.
func NewHTTPError(resp *http.Response) *HTTPError {
	if resp == nil || resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil
	}
	e := &HTTPError{Status: resp.StatusCode, Header: resp.Header, At: time.Now()}
	if resp.Body != nil {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxSnippet)) // the status says enough without a body
		e.Body = string(b)
	}
	return e
}

func (e *HTTPError) Error() string {
	s := "HTTP " + strconv.Itoa(e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	if e.Body != "" {
		s += ": " + cut(e.Body, maxSnippet)
	}
	return s
}

// StatusCode returns the status code.
func (e *HTTPError) StatusCode() int { return e.Status }

// retryAfter returns what the server asked for, counted from now where the
// moment of the answer is not known. A date is measured against the server's own
// clock (its Date header), so that a skew between the two machines neither
// undercuts nor stretches it.
func (e *HTTPError) retryAfter(now time.Time) (time.Duration, bool) {
	value := e.Header.Get("Retry-After")
	if value == "" {
		return 0, false
	}
	from := e.At
	if from.IsZero() {
		from = now
	}
	if date, err := http.ParseTime(e.Header.Get("Date")); err == nil {
		from = date
	}
	return ParseRetryAfter(value, from)
}
