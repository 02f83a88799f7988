package redact

// nextCard finds the first payment card number in s from the given place: 13 to
// 19 digits, single spaces or hyphens between them, that begin as the networks'
// numbers do, pass the Luhn check, and are no part of a longer word. It returns
// where the number begins and ends, and false where there is none.
func nextCard(s []byte, from int) (start, end int, ok bool) {
	for i := from; i < len(s); i++ {
		c := s[i]
		if c < '2' || c > '6' || i > 0 && isWordByte(s[i-1]) {
			continue
		}
		if end, ok := cardAt(s, i); ok {
			return i, end, true
		}
	}
	return 0, 0, false
}

// cardAt returns where the card number that begins at i ends.
func cardAt(s []byte, i int) (int, bool) {
	var digits [19]byte
	n, end := 0, i
	for j := i; j < len(s); j++ {
		c := s[j]
		if c >= '0' && c <= '9' {
			if n == len(digits) {
				return 0, false
			}
			digits[n] = c - '0'
			n++
			end = j + 1
			continue
		}
		if (c == ' ' || c == '-') && j == end && j+1 < len(s) && s[j+1] >= '0' && s[j+1] <= '9' {
			continue
		}
		break
	}
	if end < len(s) && isWordByte(s[end]) {
		return 0, false
	}
	if n < 13 || !knownNetwork(digits[:n]) || !luhn(digits[:n]) {
		return 0, false
	}
	return end, true
}

// knownNetwork keeps timestamps and other long numbers from being taken for
// cards: one in ten would pass the check digit alone.
func knownNetwork(d []byte) bool {
	n := len(d)
	two := int(d[0])*10 + int(d[1])
	four := two*100 + int(d[2])*10 + int(d[3])
	switch {
	case d[0] == 4: // Visa
		return n == 13 || n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		return n == 16
	case two == 34 || two == 37: // American Express
		return n == 15
	case two == 30 || two == 36 || two == 38 || two == 39: // Diners Club
		return n >= 14
	case two == 35: // JCB
		return n >= 16
	case two == 62 || two == 64 || two == 65 || two == 60 || two == 81: // UnionPay, Discover, RuPay
		return n >= 16
	case two == 50 || two >= 56 && two <= 69: // Maestro
		return true
	}
	return false
}

func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
