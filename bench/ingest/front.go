package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// front stands before the engine. It passes statements on; inserts of blocks it
// also keeps, swallows or refuses.
type front struct {
	mode     atomic.Int32
	proxy    *httputil.ReverseProxy
	server   *http.Server
	listener net.Listener

	mu     sync.Mutex
	blocks []insert
}

const (
	frontPass int32 = iota
	frontKeep
	frontSwallow
	frontRefuse
)

// insert is an insert as a client sent it.
type insert struct {
	query  url.Values
	header http.Header
	body   []byte
}

func newFront(engine string) (*front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &front{listener: l, proxy: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: engine})}
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	go func() { _ = f.server.Serve(l) }()
	return f, nil
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	mode := f.mode.Load()
	if query := q.Get("query"); mode == frontPass || !strings.HasPrefix(query, "INSERT INTO events_in") && !strings.HasPrefix(query, "INSERT INTO tasks_in") {
		f.proxy.ServeHTTP(w, r)
		return
	}
	switch mode {
	case frontRefuse:
		http.Error(w, "away", http.StatusServiceUnavailable)
	case frontSwallow:
		_, _ = io.Copy(io.Discard, r.Body)
	case frontKeep:
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		f.mu.Lock()
		f.blocks = append(f.blocks, insert{q, r.Header.Clone(), b.Bytes()})
		f.mu.Unlock()
	}
}

func (f *front) close() { _ = f.server.Close() }
