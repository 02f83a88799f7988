package failure

import (
	"net/http"
	"strings"
	"time"
)

// MaxRetryAfter bounds what [ParseRetryAfter] returns: whatever is longer says
// the same.
const MaxRetryAfter = 10 * 365 * 24 * time.Hour

// ParseRetryAfter reads a Retry-After header (RFC 9110, section 10.2.3): a number
// of seconds, or an HTTP date in any of its three forms, measured from now. A
// date that has passed and a negative number give 0; a fraction of a second,
// which some servers send, is rounded up; nothing is longer than [MaxRetryAfter].
// The second result is false where value is neither.
func ParseRetryAfter(value string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if len(value) > 512 { // no number or date needs as much
		return 0, false
	}
	if d, ok := parseSeconds(value); ok {
		return d, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter), true
}

// parseSeconds reads [+-]digits[.digits].
func parseSeconds(value string) (time.Duration, bool) {
	digits, negative := strings.CutPrefix(value, "-")
	if !negative {
		digits = strings.TrimPrefix(value, "+")
	}
	whole, fraction, dotted := strings.Cut(digits, ".")
	if !allDigits(whole) || dotted && !allDigits(fraction) {
		return 0, false
	}
	if negative {
		return 0, true
	}
	const most = int64(MaxRetryAfter / time.Second)
	var seconds int64
	for _, c := range []byte(whole) {
		if seconds = seconds*10 + int64(c-'0'); seconds >= most {
			return MaxRetryAfter, true
		}
	}
	if strings.Trim(fraction, "0") != "" {
		seconds++
	}
	return time.Duration(seconds) * time.Second, true
}

func allDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
