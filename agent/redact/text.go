package redact

import "bytes"

// text takes denied values and patterns out of what is not JSON, from where the
// output ends: what was replaced before stays replaced.
func (s *scanner) text() {
	rest := s.in[s.copied:]
	clean := s.r.patterns(s.r.assigned(s.r.named(rest)))
	if bytes.Equal(clean, rest) {
		return
	}
	s.out = append(s.out, clean...)
	s.copied, s.changed = len(s.in), true
}

// named takes out the values that stand behind denied names in double quotes and
// a colon, as in JSON that was cut off or stands in the middle of a message,
// perhaps as a string with its quotes escaped.
func (r *Redactor) named(in []byte) []byte {
	var out []byte
	copied := 0
	for at := 0; at < len(in); {
		size := bytes.IndexByte(in[at:], '"')
		if size < 0 {
			break
		}
		open := at + size
		size = bytes.IndexByte(in[open+1:], '"')
		if size < 0 {
			break
		}
		end := open + 1 + size
		at = end // perhaps no quote that closes but one that opens
		colon := skipSpace(in, end+1)
		name := in[open+1 : end]
		if colon == len(in) || in[colon] != ':' || bytes.ContainsAny(name, "/?&=:<>") || !r.keys.denied(lenientName(name)) {
			continue // a URL or a sentence in quotes is no name
		}
		from := skipSpace(in, colon+1)
		to := valueEnd(in, from)
		at = max(to, colon+1)
		if value := in[from:to]; len(value) > 0 && string(value) != "null" && !bytes.Equal(value, r.quoted) {
			out = append(append(out, in[copied:from]...), r.quoted...)
			copied = to
		}
	}
	if copied == 0 {
		return in
	}
	return append(out, in[copied:]...)
}

// assigned takes out the values of name=value, as in forms, queries and settings.
func (r *Redactor) assigned(in []byte) []byte {
	var out []byte
	copied := 0
	for at := 0; at < len(in); {
		size := bytes.IndexByte(in[at:], '=')
		if size < 0 {
			break
		}
		equals := at + size
		at = equals + 1
		start := equals
		for start > 0 && equals-start < maxKey && isNameByte(in[start-1]) {
			start--
		}
		if start == equals || !r.keys.denied(in[start:equals]) {
			continue
		}
		to := equals + 1
		if to < len(in) && in[to] == '"' {
			to = valueEnd(in, to)
		} else {
			for to < len(in) && !endsAssigned(in[to]) {
				to++
			}
		}
		at = to
		if value := in[equals+1 : to]; len(value) > 0 && !bytes.Equal(value, r.mask) {
			out = append(append(out, in[copied:equals+1]...), r.mask...)
			copied = to
		}
	}
	if copied == 0 {
		return in
	}
	return append(out, in[copied:]...)
}

func isNameByte(c byte) bool { return isWordByte(c) || c == '_' || c == '-' || c == '.' || c == '%' }

func endsAssigned(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\r', '&', ';', ',', '"', '\'', '`', ')', ']', '}', '<', '>', '\\':
		return true
	}
	return false
}

// lenientName resolves the escapes of a name, where it is well formed.
func lenientName(name []byte) []byte {
	name = bytes.TrimRight(name, `\`) // of the quote behind it
	if bytes.IndexByte(name, '\\') < 0 {
		return name
	}
	s := scanner{in: append(append([]byte{'"'}, name...), '"')}
	if _, ok := s.stringToken(); !ok || s.at != len(s.in) {
		return name
	}
	return unescape(nil, name)
}

func skipSpace(in []byte, at int) int {
	for at < len(in) && (in[at] == ' ' || in[at] == '\t' || in[at] == '\n' || in[at] == '\r') {
		at++
	}
	return min(at, len(in))
}

// valueEnd returns where a value ends: at its closing quote or bracket, else at a
// comma, a bracket or white space. One that does not end goes on to the end.
func valueEnd(in []byte, from int) int {
	quote := from
	for quote < len(in) && in[quote] == '\\' {
		quote++
	}
	switch {
	case quote == len(in):
		return len(in)
	case in[quote] == '"':
		return stringEnd(in, quote+1, quote-from)
	case in[from] == '{' || in[from] == '[':
		depth := 0
		for i := from; i < len(in); i++ {
			switch in[i] {
			case '"':
				i = stringEnd(in, i+1, 0) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return len(in)
	}
	for i := from; i < len(in); i++ {
		switch in[i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return i
		}
	}
	return len(in)
}

// stringEnd returns where the string ends whose inside begins at from and whose
// quotes have so many backslashes before them: behind its closing quote.
func stringEnd(in []byte, from, escapes int) int {
	for i := from; i < len(in); i++ {
		if in[i] != '"' {
			continue
		}
		before := 0
		for i-1-before >= from && in[i-1-before] == '\\' {
			before++
		}
		if before <= escapes || escapes == 0 && before%2 == 0 {
			return i + 1
		}
	}
	return len(in)
}
