package embedded

import (
	"strings"
)

// statement is what the facade has to know of a statement before it hands it to
// the engine, which would otherwise take more than the HTTP interface does:
// several statements at once, and files of this machine.
type statement struct {
	// verb is the first word, in upper case.
	verb string
	// format is that of a FORMAT clause, empty without one.
	format string
	// head is where the FORMAT clause of an INSERT begins and data where it ends;
	// head is -1 where the INSERT brings no data in a format.
	head, data int
}

// parseStatement looks through a statement. An error is an *Exception.
func parseStatement(sql []byte) (statement, error) {
	s := statement{head: -1, data: -1}
	sc := scanner{src: sql}
	var last, before token
	ended := false
	for {
		t, ok := sc.next()
		if !ok {
			break
		}
		if ended {
			return s, exceptionf(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
		}
		switch {
		case s.verb == "" && t.kind == tokenWord:
			s.verb = strings.ToUpper(t.text)
		case t.kind == tokenOther && t.text == ";":
			ended = true
			continue
		case last.is("INTO") && t.is("OUTFILE"), last.is("FROM") && t.is("INFILE"):
			return s, exceptionf(344, "SUPPORT_IS_DISABLED", "%s %s is not available over HTTP", last.text, t.text)
		case last.is("FORMAT") && t.kind == tokenWord && before.kind != tokenDot:
			s.format = t.text
			if s.verb == "INSERT" {
				s.head, s.data = last.start, t.end
				return s, nil
			}
		case s.verb == "INSERT" && t.is("VALUES"):
			// Whether this is data or the table function is for the engine to say;
			// what follows may be any text.
			s.head, s.data, s.format = t.start, t.end, "Values"
			return s, nil
		case s.format != "" && !t.is("SETTINGS") && t.kind == tokenWord && !last.is("SETTINGS") && before.is("FORMAT"):
			s.format = "" // the word format was a column or an alias
		}
		before, last = last, t
	}
	return s, nil
}

type tokenKind uint8

const (
	tokenOther tokenKind = iota
	tokenWord
	tokenDot
)

type token struct {
	kind       tokenKind
	text       string
	start, end int
}

func (t token) is(word string) bool { return t.kind == tokenWord && strings.EqualFold(t.text, word) }

// scanner splits SQL into words and the rest, over strings, quoted identifiers,
// heredocs and comments.
type scanner struct {
	src []byte
	at  int
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (s *scanner) next() (token, bool) {
	s.skipBlank()
	if s.at >= len(s.src) {
		return token{}, false
	}
	start, c := s.at, s.src[s.at]
	t := token{start: start}
	switch {
	case wordByte(c):
		for s.at < len(s.src) && wordByte(s.src[s.at]) {
			s.at++
		}
		t.kind, t.text = tokenWord, string(s.src[start:s.at])
	case c == '\'' || c == '"' || c == '`':
		s.quoted(c)
	case c == '$':
		s.heredoc()
	case c == '.':
		s.at++
		t.kind = tokenDot
	default:
		s.at++
		t.text = string(c)
	}
	t.end = s.at
	return t, true
}

func (s *scanner) skipBlank() {
	for s.at < len(s.src) {
		rest := s.src[s.at:]
		switch {
		case rest[0] <= ' ':
			s.at++
		case hasPrefix(rest, "--"), hasPrefix(rest, "#!"), hasPrefix(rest, "# "):
			for s.at < len(s.src) && s.src[s.at] != '\n' {
				s.at++
			}
		case hasPrefix(rest, "/*"):
			s.at += 2
			for depth := 1; s.at < len(s.src) && depth > 0; {
				switch {
				case hasPrefix(s.src[s.at:], "*/"):
					depth--
					s.at += 2
				case hasPrefix(s.src[s.at:], "/*"):
					depth++
					s.at += 2
				default:
					s.at++
				}
			}
		default:
			return
		}
	}
}

func hasPrefix(b []byte, p string) bool { return len(b) >= len(p) && string(b[:len(p)]) == p }

func (s *scanner) quoted(q byte) {
	for s.at++; s.at < len(s.src); s.at++ {
		switch s.src[s.at] {
		case '\\':
			s.at++
		case q:
			if s.at+1 < len(s.src) && s.src[s.at+1] == q {
				s.at++
				continue
			}
			s.at++
			return
		}
	}
	s.at = len(s.src)
}

// heredoc passes $tag$ … $tag$, or a lone dollar.
func (s *scanner) heredoc() {
	end := s.at + 1
	for end < len(s.src) && wordByte(s.src[end]) {
		end++
	}
	if end >= len(s.src) || s.src[end] != '$' {
		s.at++
		return
	}
	tag := string(s.src[s.at : end+1])
	if i := strings.Index(string(s.src[end+1:]), tag); i >= 0 {
		s.at = end + 1 + i + len(tag)
		return
	}
	s.at++
}
