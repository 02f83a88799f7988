package channel

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// outcome is what an HTTP status means for a delivery.
type outcome int

const (
	delivered outcome = iota
	retry             // the same call may succeed later
	refused           // it never will
	gone              // no call ever will
)

// outcomeOf is the table for every notifier that speaks HTTP. A redirect is
// refused: where a call goes was decided by an operator, not by the receiver.
func outcomeOf(status int) outcome {
	switch {
	case status >= 200 && status < 300:
		return delivered
	case status == http.StatusGone:
		return gone
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return retry
	default:
		return refused
	}
}

// longestRetryAfter bounds what a receiver may ask for.
const longestRetryAfter = time.Hour

// retryAfter reads the header in both its forms, seconds and HTTP date; 0 where
// it says nothing.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	if n, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, longestRetryAfter)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), longestRetryAfter)
	}
	return 0
}
