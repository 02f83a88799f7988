package query

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// sse is one event of a stream.
type sse struct{ id, kind, data string }

func (e sse) json(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), into); err != nil {
		t.Fatalf("%v in %s", err, e.data)
	}
}

// sseReader reads a stream as a browser would.
type sseReader struct {
	t    *testing.T
	resp *http.Response
	// events are what came; it is closed at the end. Comments come as kind ":".
	events chan sse
}

func (h *harness) stream(topics, token string, headers ...string) *sseReader {
	h.t.Helper()
	req, err := h.request("GET", base+"/stream?topics="+url.QueryEscape(topics), token, "", headers...)
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(resp.Body)
		h.t.Fatalf("stream: status %d, %s", resp.StatusCode, b)
	}
	r := &sseReader{h.t, resp, make(chan sse, 10_000)}
	h.t.Cleanup(r.close)
	go r.read()
	return r
}

func (r *sseReader) close() { _ = r.resp.Body.Close() }

func (r *sseReader) read() {
	defer close(r.events)
	lines := bufio.NewScanner(r.resp.Body)
	lines.Buffer(nil, 8<<20)
	var e sse
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "":
			if e.kind != "" {
				r.events <- e
			}
			e = sse{}
		case strings.HasPrefix(line, ":"):
			e.kind = ":"
		default:
			name, value, _ := strings.Cut(line, ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				e.data = value
			}
		}
	}
}

// next waits for the next event of that kind and fails on another one.
func (r *sseReader) next(kind string) sse {
	r.t.Helper()
	select {
	case e, ok := <-r.events:
		if !ok {
			r.t.Fatalf("the stream ended, want %s", kind)
		}
		if e.kind != kind {
			r.t.Fatalf("got %s %s, want %s", e.kind, e.data, kind)
		}
		return e
	case <-time.After(10 * time.Second):
		r.t.Fatalf("no %s came", kind)
	}
	return sse{}
}

// ended waits for the end.
func (r *sseReader) ended() {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case _, ok := <-r.events:
			if !ok {
				return
			}
		case <-deadline:
			r.t.Fatal("the stream does not end")
		}
	}
}
