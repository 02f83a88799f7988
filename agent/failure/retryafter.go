package failure

import "time"

// MaxRetryAfter bounds what [ParseRetryAfter] returns: whatever is longer says
// the same.
const MaxRetryAfter = 10 * 365 * 24 * time.Hour

// ParseRetryAfter reads a Retry-After header (RFC 9110, section 10.2.3): a number
// of seconds, or an HTTP date in any of its three forms, measured from now. A
// date that has passed and a negative number give 0; nothing is longer than
// [MaxRetryAfter]. The second result is false where value is neither.
func ParseRetryAfter(value string, now time.Time) (time.Duration, bool) {
	return 0, false
}
