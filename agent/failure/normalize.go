package failure

import "strings"

// Placeholders of what [Normalize] takes out.
const (
	phNumber   = "<n>"
	phID       = "<id>"
	phHex      = "<hex>"
	phURL      = "<url>"
	phPath     = "<path>"
	phEmail    = "<email>"
	phAddress  = "<addr>"
	phTime     = "<time>"
	phDuration = "<duration>"
	phString   = "<str>"
)

// longQuote is the number of bytes from which a quoted string is a value rather
// than a name.
const longQuote = 17

// Normalize returns message with ids, numbers of four digits and more, UUIDs,
// hexadecimal addresses, URLs, paths, e-mail and network addresses, times,
// durations and long quoted strings replaced by placeholders, and runs of white
// space by one space. It looks at the first 4 KiB, and its result is valid UTF-8
// without control characters.
func Normalize(message string) string {
	n := normalizer{in: cut(message, maxNormalized)}
	n.out.Grow(min(len(n.in), 256))
	for n.at < len(n.in) {
		n.step()
	}
	return strings.TrimRight(n.out.String(), " ")
}

type normalizer struct {
	in  string
	at  int
	out strings.Builder
	// last is the byte that was read last, for what depends on where a word begins.
	last byte
	// space: white space was read and not yet written.
	space bool
}

func (n *normalizer) step() {
	c := n.in[n.at]
	switch {
	case c <= ' ' || c == 0x7f:
		n.at++
		n.space, n.last = n.out.Len() > 0, ' '
	case c == '"' || c == '`' || c == '\'' && !isWord(n.last):
		n.quoted(c)
	default:
		if size := matchTime(n.in[n.at:]); size > 0 && !isWord(n.last) {
			n.replace(size, phTime)
			return
		}
		if isDelimiter(c) {
			n.keep(1)
			return
		}
		n.word()
	}
}

func (n *normalizer) write(s string) {
	if n.space {
		n.out.WriteByte(' ')
		n.space = false
	}
	n.out.WriteString(s)
}

func (n *normalizer) keep(size int) { n.replace(size, n.in[n.at:n.at+size]) }

func (n *normalizer) replace(size int, with string) {
	n.write(with)
	n.at += size
	n.last = n.in[n.at-1]
}

// quoted takes a long string as a whole; a short one is a name as a rule, and
// looked into.
func (n *normalizer) quoted(quote byte) {
	end := n.at + 1
	for end < len(n.in) && n.in[end] != quote {
		if n.in[end] == '\\' {
			end++
		}
		end++
	}
	if end < len(n.in) && end-n.at-1 >= longQuote {
		n.replace(end+1-n.at, string(quote)+phString+string(quote))
		return
	}
	n.keep(1)
}

// word takes everything up to white space, a quote or a delimiter.
func (n *normalizer) word() {
	size := 0
	rest := n.in[n.at:]
	for size < len(rest) && rest[size] > ' ' && rest[size] != 0x7f && rest[size] != '"' && rest[size] != '`' && !isDelimiter(rest[size]) {
		size++
	}
	word := rest[:size]
	if i := strings.Index(word, "://"); i > 0 {
		// The delimiters end a word, but a URL goes on behind them.
		for size < len(rest) && rest[size] > ' ' && rest[size] != 0x7f && !strings.ContainsRune("\"`'<>", rune(rest[size])) {
			size++
		}
		tail := trailing(rest[:size])
		n.replace(size-tail, phURL)
		return
	}
	// Punctuation at the end belongs to the sentence.
	body := word[:len(word)-trailing(word)]
	switch {
	case body == "":
		n.keep(size)
	case isEmail(body):
		n.replace(len(body), phEmail)
	case isPath(body):
		n.replace(len(body), phPath)
	case isAddress(body):
		n.replace(len(body), phAddress)
	case isDuration(body):
		n.replace(len(body), phDuration)
	default:
		n.parts(body)
	}
}

// parts takes a word piece by piece: runs of letters and digits, and what stands
// between them.
func (n *normalizer) parts(word string) {
	for i := 0; i < len(word); {
		if size := matchUUID(word[i:]); size > 0 {
			n.replace(size, phID)
			i += size
			continue
		}
		size := 0
		for i+size < len(word) && isAlnum(word[i+size]) {
			size++
		}
		if size == 0 {
			n.keep(1)
			i++
			continue
		}
		// A decimal number is one value.
		if size < len(word)-i && allDigits(word[i:i+size]) && word[i+size] == '.' {
			end := size + 1
			for i+end < len(word) && word[i+end] >= '0' && word[i+end] <= '9' {
				end++
			}
			if end > size+1 && end-1 >= 4 && (i+end == len(word) || !isAlnum(word[i+end]) && word[i+end] != '.') {
				n.replace(end, phNumber)
				i += end
				continue
			}
		}
		n.segment(word[i : i+size])
		i += size
	}
}

// segment takes a run of ASCII letters and digits.
func (n *normalizer) segment(s string) {
	digits, letters, hex := 0, 0, 0
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		default:
			letters++
			if c|0x20 >= 'a' && c|0x20 <= 'f' {
				hex++
			}
		}
	}
	switch {
	case digits == len(s) && digits >= 4:
		n.replace(len(s), phNumber)
	case len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' && hex+digits >= len(s)-1:
		n.replace(len(s), phHex)
	case len(s) >= 8 && digits > 0 && letters == hex && letters > 0:
		n.replace(len(s), phHex)
	case len(s) >= 10 && digits >= 2 && letters > 0:
		n.replace(len(s), phID)
	default:
		n.digits(s)
	}
}

// digits takes long numbers out of a run that is otherwise kept.
func (n *normalizer) digits(s string) {
	for i := 0; i < len(s); {
		size := 0
		for i+size < len(s) && s[i+size] >= '0' && s[i+size] <= '9' {
			size++
		}
		switch {
		case size >= 4:
			n.replace(size, phNumber)
			i += size
		case size > 0:
			n.keep(size)
			i += size
		default:
			n.keep(1)
			i++
		}
	}
}

// trailing returns how many bytes of punctuation a word ends with.
func trailing(word string) int {
	return len(word) - len(strings.TrimRight(word, ".:!?'*-"))
}

func isDelimiter(c byte) bool {
	switch c {
	case '(', ')', '[', ']', '{', '}', '<', '>', ',', ';', '=', '|', '&', '#':
		return true
	}
	return false
}

func isAlnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// isWord reports whether c continues a word; bytes of other scripts do.
func isWord(c byte) bool { return isAlnum(c) || c == '_' || c >= 0x80 }
