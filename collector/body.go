package collector

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
)

const (
	firstRead  = 64 << 10 // bytes read before more memory is asked for
	jsonWeight = 6        // memory of reading JSON, in sizes of the body
)

var errUnknownEncoding = &requestError{http.StatusUnsupportedMediaType, codes.InvalidArgument, "Content-Encoding: want gzip, zstd or none"}

// readBody reads and decompresses a body into a pooled buffer. Memory is taken
// from the budget as bytes arrive, not as they are announced, so that a slow or
// lying sender holds little. The lease is closed and the buffer put back by the
// caller, where there is no error.
func (c *Collector) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *lease, error) {
	if r.ContentLength > int64(c.cfg.MaxCompressedBytes) {
		return nil, nil, &TooLargeError{Field: "compressed body", Limit: int64(c.cfg.MaxCompressedBytes)}
	}
	l, err := c.budget.open(r.Context(), firstRead)
	if err != nil {
		return nil, nil, err
	}
	body := http.MaxBytesReader(w, r.Body, int64(c.cfg.MaxCompressedBytes))
	plain, err := decompressor(strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))), body)
	if err != nil {
		l.close()
		return nil, nil, badBody(err)
	}
	defer plain.Close()
	buf, err := c.readAll(plain, l)
	if err != nil {
		c.buffers.put(buf)
		l.close()
		return nil, nil, badBody(err)
	}
	return buf, l, nil
}

func (c *Collector) readAll(r io.Reader, l *lease) ([]byte, error) {
	limit := c.cfg.MaxRequestBytes
	buf := c.buffers.get()
	room := firstRead
	for {
		if len(buf) == room {
			room = min(2*room, limit+1)
			if err := l.resize(int64(room)); err != nil {
				return buf, err
			}
		}
		if cap(buf) < room {
			grown := make([]byte, len(buf), room)
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):room])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return buf, &TooLargeError{Field: "decompressed body", Limit: int64(limit)}
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// badBody keeps the errors that say more than that a body can't be decompressed.
func badBody(err error) error {
	var (
		large    *TooLargeError
		overload *OverloadError
		request  *requestError
		limit    *http.MaxBytesError
		timeout  interface{ Timeout() bool }
	)
	if errors.As(err, &large) || errors.As(err, &overload) || errors.As(err, &request) || errors.As(err, &limit) || errors.As(err, &timeout) {
		return err
	}
	return &requestError{http.StatusBadRequest, codes.InvalidArgument, "body: can't be read or decompressed: " + err.Error()}
}
