package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// logLines passes a child's output on to a logger line by line, and remembers
// the last ones for the error that its death becomes.
type logLines struct {
	logger *slog.Logger

	mu   sync.Mutex
	part []byte
	last []string
}

const (
	maxLine   = 8 << 10
	keptLines = 5
)

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.part = append(l.part, b[:min(len(b), maxLine-min(len(l.part), maxLine))]...)
			break
		}
		l.part = append(l.part, b[:min(i, maxLine-min(len(l.part), maxLine))]...)
		if line := strings.TrimSpace(string(l.part)); line != "" {
			l.logger.Info("embedded ClickHouse", "line", line)
			if l.last = append(l.last, line); len(l.last) > keptLines {
				l.last = l.last[1:]
			}
		}
		l.part, b = l.part[:0], b[i+1:]
	}
	return n, nil
}

func (l *logLines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, " | ")
}
