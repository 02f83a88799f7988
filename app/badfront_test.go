package app_test

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// badFront stands before the engine and loses answers to inserts: the engine has
// committed, and whoever asked sees the connection break. Or it is away.
type badFront struct {
	addr    string
	proxy   *httputil.ReverseProxy
	oneIn   atomic.Int64
	away    atomic.Bool
	lost    atomic.Int64
	refused atomic.Int64
}

func newBadFront(t *testing.T, engine string) *badFront {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	f := &badFront{addr: l.Addr().String(), proxy: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: engine})}
	f.proxy.Transport = transport
	f.proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	f.proxy.ModifyResponse = func(resp *http.Response) error {
		insert := strings.HasPrefix(resp.Request.URL.Query().Get("query"), "INSERT INTO events_in")
		n := f.oneIn.Load()
		if !insert || n == 0 || resp.StatusCode != http.StatusOK || rand.Int64N(n) != 0 {
			return nil
		}
		_, _ = io.Copy(io.Discard, resp.Body) // to its end: the engine is done
		resp.Body.Close()
		f.lost.Add(1)
		panic(http.ErrAbortHandler)
	}
	s := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done; transport.CloseIdleConnections() })
	return f
}

func (f *badFront) loseOneIn(n int64) { f.oneIn.Store(n) }

func (f *badFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.away.Load() {
		f.refused.Add(1)
		panic(http.ErrAbortHandler)
	}
	f.proxy.ServeHTTP(w, r)
}
