package redact

import "bytes"

const (
	// maxDepth bounds the nesting of arrays and objects; what is deeper is text.
	maxDepth = 200
	// maxNesting bounds JSON texts inside JSON strings inside JSON texts.
	maxNesting = 3
)

// scanner walks over JSON, or text, and notes what is replaced. Its output is
// begun with the first replacement, so that a payload without one costs no copy.
type scanner struct {
	r       *Redactor
	in      []byte
	at      int
	out     []byte
	copied  int // bytes of in that out accounts for
	changed bool
	nesting int
	// denied counts the denied values around the present place: where the text
	// stops being JSON inside one, nothing of the rest may be kept.
	denied int
	// scratch holds a name or a short string while its escapes are resolved.
	scratch [512]byte
}

// start makes the scanner ready for another input.
func (s *scanner) start(r *Redactor, in []byte, nesting int) {
	s.r, s.in, s.nesting = r, in, nesting
	s.at, s.out, s.copied, s.changed, s.denied = 0, nil, 0, false, 0
}

// replace puts something in the place of in[from:to].
func (s *scanner) replace(from, to int, with []byte) {
	s.out = append(append(s.out, s.in[s.copied:from]...), with...)
	s.copied, s.changed = to, true
}

func (s *scanner) result() ([]byte, bool) {
	if !s.changed {
		return s.in, false
	}
	return append(s.out, s.in[s.copied:]...), true
}

// documents walks over JSON values with white space between them, and reports
// whether all of the input is such.
func (s *scanner) documents(set uint64) bool {
	s.space()
	if s.at == len(s.in) {
		return true
	}
	for s.at < len(s.in) {
		if !s.value(set, 0) {
			return false
		}
		s.space()
	}
	return true
}

func (s *scanner) space() {
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) value(set uint64, depth int) bool {
	if s.at == len(s.in) || depth > maxDepth {
		return false
	}
	switch c := s.in[s.at]; {
	case c == '{':
		return s.object(set, depth)
	case c == '[':
		return s.array(set, depth)
	case c == '"':
		from := s.at
		escaped, ok := s.stringToken()
		if ok && s.denied == 0 {
			s.stringValue(from, escaped)
		}
		return ok
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	default:
		return false
	}
}

func (s *scanner) literal(word string) bool {
	if !bytes.HasPrefix(s.in[s.at:], []byte(word)) {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) object(set uint64, depth int) bool {
	s.at++
	s.space()
	if s.at < len(s.in) && s.in[s.at] == '}' {
		s.at++
		return true
	}
	for {
		if s.at == len(s.in) || s.in[s.at] != '"' {
			return false
		}
		from := s.at
		escaped, ok := s.stringToken()
		if !ok {
			return false
		}
		name := s.in[from+1 : s.at-1]
		if escaped {
			name = unescape(s.scratch[:0], name)
		}
		next, ends := s.r.paths.step(set, depth, name, 0)
		deny := ends || s.r.keys.denied(name)
		if s.denied == 0 && !deny {
			s.memberName(from, name)
		}
		s.space()
		if s.at == len(s.in) || s.in[s.at] != ':' {
			return false
		}
		s.at++
		s.space()
		if !s.member(deny, next, depth) {
			return false
		}
		s.space()
		if s.at == len(s.in) {
			return false
		}
		s.at++
		switch s.in[s.at-1] {
		case '}':
			return true
		case ',':
			s.space()
		default:
			s.at--
			return false
		}
	}
}

func (s *scanner) array(set uint64, depth int) bool {
	s.at++
	s.space()
	if s.at < len(s.in) && s.in[s.at] == ']' {
		s.at++
		return true
	}
	for i := 0; ; i++ {
		next, ends := s.r.paths.step(set, depth, nil, i)
		if !s.member(ends, next, depth) {
			return false
		}
		s.space()
		if s.at == len(s.in) {
			return false
		}
		s.at++
		switch s.in[s.at-1] {
		case ']':
			return true
		case ',':
			s.space()
		default:
			s.at--
			return false
		}
	}
}

// member walks over one value, and takes it out where it is denied. null is no
// secret and stays.
func (s *scanner) member(deny bool, set uint64, depth int) bool {
	if !deny || s.denied > 0 {
		return s.value(set, depth+1)
	}
	from := s.at
	if s.literal("null") {
		return true
	}
	s.denied++
	if !s.value(0, depth+1) {
		// The rest may be part of the denied value, to the last byte.
		s.replace(from, len(s.in), s.r.quoted)
		s.at = len(s.in)
		return false
	}
	s.denied--
	if !bytes.Equal(s.in[from:s.at], s.r.quoted) { // what was redacted once is not changed again
		s.replace(from, s.at, s.r.quoted)
	}
	return true
}

// stringToken walks over a string and reports whether it has escapes.
func (s *scanner) stringToken() (escaped, ok bool) {
	in := s.in
	for i := s.at + 1; i < len(in); i++ {
		switch c := in[i]; {
		case c == '"':
			s.at = i + 1
			return escaped, true
		case c < ' ':
			return false, false
		case c == '\\':
			escaped = true
			if i++; i == len(in) {
				return false, false
			}
			switch in[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(in) || !isHexByte(in[i+1]) || !isHexByte(in[i+2]) || !isHexByte(in[i+3]) || !isHexByte(in[i+4]) {
					return false, false
				}
				i += 4
			default:
				return false, false
			}
		}
	}
	return false, false
}

// stringValue looks into the string at from, which ends at s.at.
func (s *scanner) stringValue(from int, escaped bool) {
	inside := s.in[from+1 : s.at-1]
	text := inside
	if escaped {
		text = unescape(s.scratch[:0], inside)
	}
	var clean []byte
	if s.nesting < maxNesting && looksLikeJSON(text) {
		// A document inside a string, as queues and webhooks like to send them.
		clean, _ = s.r.redact(text, s.r.paths.all(), s.nesting+1)
	} else {
		clean = s.r.patterns(text)
	}
	s.rewrite(from, text, clean)
}

// memberName takes patterns out of a member's name, which stands at from and
// ends at s.at.
func (s *scanner) memberName(from int, name []byte) {
	s.rewrite(from, name, s.r.patterns(name))
}

// rewrite replaces the string at from, which ends at s.at, where its text is to
// become another.
func (s *scanner) rewrite(from int, text, clean []byte) {
	if bytes.Equal(clean, text) {
		return
	}
	with := append(make([]byte, 0, len(clean)+2), '"')
	with = append(appendEscaped(with, clean, int(^uint(0)>>1)), '"')
	s.replace(from, s.at, with)
}

func looksLikeJSON(text []byte) bool {
	at := skipSpace(text, 0)
	return at+1 < len(text) && (text[at] == '{' || text[at] == '[')
}

// number walks over a number, which may be a card's.
func (s *scanner) number() bool {
	from := s.at
	if s.in[s.at] == '-' {
		s.at++
	}
	whole := s.at
	if s.digits() == 0 || s.in[whole] == '0' && s.at-whole > 1 {
		return false
	}
	integer := true
	if s.at < len(s.in) && s.in[s.at] == '.' {
		s.at++
		integer = false
		if s.digits() == 0 {
			return false
		}
	}
	if s.at < len(s.in) && s.in[s.at]|0x20 == 'e' {
		s.at++
		integer = false
		if s.at < len(s.in) && (s.in[s.at] == '+' || s.in[s.at] == '-') {
			s.at++
		}
		if s.digits() == 0 {
			return false
		}
	}
	if integer && s.denied == 0 && !s.r.cfg.KeepCardNumbers {
		if _, end, ok := nextCard(s.in[from:s.at], 0); ok && from+end == s.at {
			s.replace(from, s.at, s.r.quoted)
		}
	}
	return true
}

func (s *scanner) digits() int {
	from := s.at
	for s.at < len(s.in) && s.in[s.at] >= '0' && s.in[s.at] <= '9' {
		s.at++
	}
	return s.at - from
}
