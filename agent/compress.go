package agent

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net"
	"net/url"
	"sync"
)

// compressFrom is the size from which a request is worth compressing: smaller
// ones fit into a packet as they are.
const compressFrom = 1 << 10

// writers keeps the state of compression, which is large. What is written to is
// made anew for each request: a transport may read it after the answer came.
var writers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails only for a level that does not exist
	return z
}}

// compress returns the body in gzip.
func compress(body []byte) ([]byte, error) {
	z := writers.Get().(*gzip.Writer)
	defer writers.Put(z)
	buf := bytes.NewBuffer(make([]byte, 0, len(body)/4))
	z.Reset(buf)
	_, err := z.Write(body)
	err = errors.Join(err, z.Close())
	return buf.Bytes(), err
}

// local reports whether the collector is on this machine: there is nothing to
// save on the way, and compressing costs more than recording did.
func local(collector string) bool {
	u, err := url.Parse(collector)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
