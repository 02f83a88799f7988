package failure

import "strings"

// matchUUID returns 36 where s begins with a UUID that ends there, else 0.
func matchUUID(s string) int {
	if len(s) < 36 || len(s) > 36 && isAlnum(s[36]) {
		return 0
	}
	for i := range 36 {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return 0
			}
			continue
		}
		if !isHex(c) {
			return 0
		}
	}
	return 36
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && strings.Contains(domain, ".") && !strings.ContainsAny(domain, "@/")
}

// isPath recognises absolute and explicitly relative paths, and Windows' ones.
func isPath(s string) bool {
	switch {
	case strings.HasPrefix(s, "/"), strings.HasPrefix(s, "~/"), strings.HasPrefix(s, "./"), strings.HasPrefix(s, "../"):
		return len(strings.Trim(s, "./~")) > 0
	case len(s) > 3 && s[1] == ':' && (s[2] == '\\' || s[2] == '/') && isAlnum(s[0]):
		return true
	case strings.HasPrefix(s, `\\`):
		return len(s) > 3
	}
	return false
}

// isAddress recognises IPv4 and IPv6 addresses, with or without a port, and a
// host name with one.
func isAddress(s string) bool {
	host, port, hasPort := strings.Cut(s, ":")
	if hasPort && !strings.Contains(port, ":") {
		if !allDigits(port) || len(port) > 5 {
			return false
		}
		return isIPv4(host) || strings.Contains(host, ".") && isHost(host) || host == "localhost"
	}
	if hasPort { // two colons and more
		for _, c := range []byte(s) {
			if !isHex(c) && c != ':' && c != '.' {
				return false
			}
		}
		return strings.Contains(s, "::") || strings.Count(s, ":") == 7
	}
	return isIPv4(s)
}

func isHost(s string) bool {
	for _, c := range []byte(s) {
		if !isAlnum(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}

func isIPv4(s string) bool {
	for i := range 4 {
		part, rest, more := strings.Cut(s, ".")
		if !allDigits(part) || len(part) > 3 || more != (i < 3) {
			return false
		}
		s = rest
	}
	return true
}

// isDuration recognises what time.Duration prints: 1.5s, 250ms, 1h2m3s.
func isDuration(s string) bool {
	s = strings.TrimPrefix(s, "-")
	if s == "" {
		return false
	}
	for s != "" {
		i := 0
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
			i++
		}
		if i == 0 {
			return false
		}
		s = s[i:]
		found := false
		for _, unit := range [...]string{"ns", "us", "µs", "μs", "ms", "h", "m", "s"} {
			if rest, ok := strings.CutPrefix(s, unit); ok {
				s, found = rest, true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// timeShapes are the forms of times: d is a digit, a a letter, and everything
// else itself. The longest that fits is taken.
var timeShapes = [...]string{
	"aaa, dd aaa dddd dd:dd:dd aaa", "aaa, dd aaa dddd dd:dd:dd", // RFC 1123
	"aaa aaa dd dd:dd:dd aaa dddd", "aaa aaa  d dd:dd:dd aaa dddd", // UnixDate
	"aaa aaa dd dd:dd:dd dddd", "aaa aaa  d dd:dd:dd dddd", // ANSIC
	"dddd-dd-ddTdd:dd:dd", "dddd-dd-dd dd:dd:dd", "dddd/dd/dd dd:dd:dd",
	"dd-aaa-dd dd:dd:dd", "dd/aaa/dddd:dd:dd:dd",
	"dddd-dd-dd", "dddd/dd/dd", "dd:dd:dd",
}

// matchTime returns how many bytes of s are a time, with a fraction and a zone
// behind it.
func matchTime(s string) int {
	size := 0
	for _, shape := range timeShapes {
		if len(shape) > size && fits(s, shape) {
			size = len(shape)
		}
	}
	if size == 0 {
		return 0
	}
	if rest := s[size:]; len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') && rest[1] >= '0' && rest[1] <= '9' {
		for size++; size < len(s) && s[size] >= '0' && s[size] <= '9'; size++ {
		}
	}
	for _, zone := range [...]string{"+dd:dd", "-dd:dd", "+dddd", "-dddd", " +dddd aaa", " +dddd", " -dddd"} {
		if fits(s[size:], zone) {
			size += len(zone)
			break
		}
	}
	if size < len(s) && s[size] == 'Z' {
		size++
	}
	if size < len(s) && isAlnum(s[size]) {
		return 0
	}
	return size
}

func fits(s, shape string) bool {
	if len(s) < len(shape) {
		return false
	}
	for i := range len(shape) {
		c := s[i]
		switch shape[i] {
		case 'd':
			if c < '0' || c > '9' {
				return false
			}
		case 'a':
			if c|0x20 < 'a' || c|0x20 > 'z' {
				return false
			}
		default:
			if c != shape[i] {
				return false
			}
		}
	}
	return true
}
