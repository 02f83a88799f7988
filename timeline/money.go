package timeline

import (
	"maps"
	"math/big"
	"strings"
)

// Thresholds say from which amount on a failed task is critical, by ISO 4217
// currency. A currency that is not listed counts like USD: rather too loud than
// silent.
type Thresholds map[string]string

// DefaultThresholds are roughly 100 USD in each currency.
func DefaultThresholds() Thresholds {
	return Thresholds{
		"USD": "100", "EUR": "100", "GBP": "80", "CHF": "90", "CAD": "140", "AUD": "150", "NZD": "170",
		"JPY": "15000", "CNY": "700", "INR": "8500", "KRW": "140000", "BRL": "550", "MXN": "1900",
		"SEK": "1000", "NOK": "1050", "DKK": "700", "PLN": "400", "CZK": "2300", "HUF": "36000",
		"TRY": "3500", "ZAR": "1800", "SGD": "135", "HKD": "780", "THB": "3400", "IDR": "1600000",
		"VND": "2500000", "PHP": "5700", "UAH": "4100", "NGN": "150000", "KES": "13000",
	}
}

// With returns a copy in which the given thresholds stand for theirs.
func (th Thresholds) With(over Thresholds) Thresholds {
	out := maps.Clone(th)
	if out == nil {
		out = Thresholds{}
	}
	maps.Copy(out, over)
	return out
}

// Classify returns how loudly a failure of the task calls: critical from the
// threshold of its currency on, else high for payments and withdrawals, else
// medium. An amount that is not a number counts as none.
func (th Thresholds) Classify(taskType, amount, currency string) AlertSeverity {
	if v, ok := parseDecimal(amount); ok {
		limit, known := th[strings.ToUpper(currency)]
		if !known {
			if limit, known = th["USD"]; !known {
				limit = "100"
			}
		}
		if l, ok := parseDecimal(limit); ok && v.Cmp(l) >= 0 {
			return AlertCritical
		}
	}
	if IsMoneyMovement(taskType) {
		return AlertHigh
	}
	return AlertMedium
}

// IsMoneyMovement reports whether a task type names a payment or a withdrawal:
// the word itself, or the word as its first or last part.
func IsMoneyMovement(taskType string) bool {
	for _, word := range [...]string{"payment", "withdrawal"} {
		rest, begins := strings.CutPrefix(taskType, word)
		if begins && (rest == "" || rest[0] == '_' || rest[0] == '.') {
			return true
		}
		if strings.HasSuffix(taskType, "_"+word) {
			return true
		}
	}
	return false
}

// parseDecimal reads a decimal number, see [IsDecimal].
func parseDecimal(s string) (*big.Rat, bool) {
	if !IsDecimal(s) {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// IsDecimal reports whether s is an optionally signed decimal number without an
// exponent, of at most [MaxAmountBytes]: what an amount may be.
func IsDecimal[T string | []byte](s T) bool {
	if len(s) == 0 || len(s) > MaxAmountBytes {
		return false
	}
	digits, points := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && points == 0:
			points++
		case (c == '-' || c == '+') && i == 0:
		default:
			return false
		}
	}
	return digits > 0
}
