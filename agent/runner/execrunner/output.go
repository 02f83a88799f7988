package execrunner

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"strings"
)

// tailBytes is how much of standard error is kept.
const tailBytes = 8 << 10

// tail keeps the last bytes written to it.
type tail struct{ b []byte }

func (t *tail) write(p []byte) {
	t.b = append(t.b, p[max(len(p)-tailBytes, 0):]...)
	if len(t.b) > 2*tailBytes {
		t.b = append(t.b[:0], t.b[len(t.b)-tailBytes:]...)
	}
}

func (t *tail) String() string { return string(t.b[max(len(t.b)-tailBytes, 0):]) }

// tee passes on what is written and keeps the tail. That nobody takes it any more
// must not stop the command, so errors of the other side are dropped.
type tee struct {
	to   io.Writer
	tail *tail
}

func (t *tee) Write(p []byte) (int, error) {
	t.tail.write(p)
	if t.to != nil {
		_, _ = t.to.Write(p)
	}
	return len(p), nil
}

// progressPrefix begins a line of standard output that reports progress.
const progressPrefix = "##tasktrail progress "

// maxLine bounds a line that reports progress; a longer one reports none.
const maxLine = 4 << 10

// lines passes on what is written and reads reports of progress from it: lines
// that begin with the prefix.
type lines struct {
	to     io.Writer
	prefix string
	report func(done, total float64, message string)

	line []byte
	long bool
}

func (l *lines) Write(p []byte) (int, error) {
	if l.to != nil {
		_, _ = l.to.Write(p)
	}
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		rest = after
		if l.long = l.long || len(l.line)+len(line) > maxLine; !l.long {
			l.line = append(l.line, line...)
		}
		if !ended {
			break
		}
		if text, ok := strings.CutPrefix(string(l.line), l.prefix); ok && !l.long {
			if done, total, message, ok := parseProgress(text); ok {
				l.report(done, total, message)
			}
		}
		l.line, l.long = l.line[:0], false
	}
	return len(p), nil
}

// parseProgress reads "3/10 message" and "3 10 message"; the message may be
// missing, and a total of 0 is one that is not known.
func parseProgress(s string) (done, total float64, message string, ok bool) {
	s = strings.TrimSpace(s)
	i := strings.IndexAny(s, "/ \t")
	if i < 0 {
		return 0, 0, "", false
	}
	first, rest := s[:i], strings.TrimLeft(s[i+1:], " \t")
	second := rest
	if j := strings.IndexAny(rest, " \t"); j >= 0 {
		second, message = rest[:j], strings.TrimSpace(rest[j:])
	}
	done, err1 := strconv.ParseFloat(first, 64)
	total, err2 := strconv.ParseFloat(second, 64)
	if err1 != nil || err2 != nil || !finite(done) || !finite(total) {
		return 0, 0, "", false
	}
	return done, total, strings.ToValidUTF8(message, ""), true
}

func finite(f float64) bool { return f >= 0 && !math.IsInf(f, 0) && !math.IsNaN(f) }
