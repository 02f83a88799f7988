package embedded

import (
	"errors"
	"io"
	"sync"
)

var errBufferFull = errors.New("the client does not read")

// buffer is a bounded queue of bytes between one writer and one reader. A write
// never waits: it fails when there is no room.
type buffer struct {
	most int

	mu     sync.Mutex
	filled sync.Cond
	data   []byte
	closed bool
}

func newBuffer(most int) *buffer {
	b := &buffer{most: most}
	b.filled.L = &b.mu
	return b
}

// Write takes all of p or nothing.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, io.ErrClosedPipe
	}
	if len(b.data)+len(p) > b.most {
		return 0, errBufferFull
	}
	b.data = append(b.data, p...)
	b.filled.Signal()
	return len(p), nil
}

func (b *buffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.filled.Signal()
}

// drain writes what comes to w until the buffer is closed and empty, or w fails.
func (b *buffer) drain(w io.Writer) {
	var out []byte
	for {
		b.mu.Lock()
		for len(b.data) == 0 && !b.closed {
			b.filled.Wait()
		}
		out, b.data = b.data, out[:0]
		b.mu.Unlock()
		if len(out) == 0 {
			return
		}
		_, err := w.Write(out)
		if cap(out) > 1<<20 {
			out = nil // a burst is over: give the memory back
		}
		if err != nil {
			b.mu.Lock()
			b.closed = true
			b.mu.Unlock()
			return
		}
	}
}
