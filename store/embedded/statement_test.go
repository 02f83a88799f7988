package embedded

import (
	"errors"
	"testing"
)

func TestStatements(t *testing.T) {
	for _, c := range []struct {
		sql, verb, format, head, data string
		code                          int
	}{
		{sql: "select 1", verb: "SELECT"},
		{sql: "SELECT 1 FORMAT JSON", verb: "SELECT", format: "JSON"},
		{sql: "SELECT 1 FORMAT JSON SETTINGS max_threads = 1;", verb: "SELECT", format: "JSON"},
		{sql: "SELECT format FROM t", verb: "SELECT"},
		{sql: "SELECT t.format x FROM t", verb: "SELECT"},
		{sql: "SELECT ' FORMAT CSV; ', $a$ ; ' $a$, `;`", verb: "SELECT"},
		{sql: "/* ; /* */ ; */ SELECT 1 -- ;\n;", verb: "SELECT"},
		{sql: "SELECT 1; ; DROP TABLE t", code: 62},
		{sql: "SELECT 'a\\';b'; x", code: 62},
		{sql: "SELECT 1 INTO/**/OUTFILE 'x'", code: 344},
		{sql: "INSERT INTO t FROM\nINFILE 'x'", code: 344},
		{sql: "INSERT INTO t (a) FORMAT CSV 1;2", verb: "INSERT", format: "CSV", head: "INSERT INTO t (a) ", data: " 1;2"},
		{sql: "insert into t values ('a;b'); ('", verb: "INSERT", format: "Values", head: "insert into t ", data: " ('a;b'); ('"},
		{sql: "INSERT INTO t SELECT 1", verb: "INSERT"},
	} {
		s, err := parseStatement([]byte(c.sql))
		var e *Exception
		if c.code != 0 {
			if !errors.As(err, &e) || e.Code != c.code {
				t.Errorf("%q: %v, want code %d", c.sql, err, c.code)
			}
			continue
		}
		if err != nil || s.verb != c.verb || s.format != c.format {
			t.Errorf("%q: %+v, %v", c.sql, s, err)
		}
		if s.head >= 0 && (c.sql[:s.head] != c.head || c.sql[s.data:] != c.data) || (s.head >= 0) != (c.head != "") {
			t.Errorf("%q: head %d, data %d", c.sql, s.head, s.data)
		}
	}
}

func FuzzParseStatement(f *testing.F) {
	for _, s := range []string{"SELECT 1", "INSERT INTO t FORMAT CSV 1", "$a$ $a$ $", "'\\", "/*", "--", "`a``", "INSERT VALUES"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sql []byte) {
		s, err := parseStatement(sql)
		if err != nil {
			return
		}
		if s.head >= 0 && (s.data < s.head || s.data > len(sql)) {
			t.Errorf("%q: %+v", sql, s)
		}
		// A second statement behind any accepted one is refused, unless what was
		// accepted runs to the end of the text or is data.
		if s.head < 0 && s.verb != "" && len(sql) > 0 && sql[len(sql)-1] == 'x' {
			more := append(append([]byte{}, sql...), "\n; DROP TABLE t"...)
			if _, err := parseStatement(more); err == nil {
				if t2 := (scanner{src: more}); !endsInside(&t2, len(sql)) {
					t.Errorf("%q takes a second statement", more)
				}
			}
		}
	})
}

// endsInside reports whether some token or comment of the text spans a position.
func endsInside(s *scanner, at int) bool {
	for {
		before := s.at
		tok, ok := s.next()
		if !ok {
			return true
		}
		if before <= at && tok.start > at+1 || tok.start < at && tok.end > at {
			return true
		}
		if tok.start >= at {
			return false
		}
	}
}
