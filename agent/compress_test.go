package agent

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// What goes to another machine is compressed where that is worth it, and comes out
// as it went in.
func TestRequestsToAnotherMachineAreCompressed(t *testing.T) {
	var mu sync.Mutex
	sizes := map[string][2]int{} // by task: on the way, and unpacked
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/logs" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body := sent
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(sent))
			if err != nil {
				t.Error(err)
				return
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Error(err)
			}
		}
		var rec wire.Record
		err = wire.ScanFrame(wire.AppendFrame(nil, wire.Envelope{AnyNamespace: true}, body), &rec, func(rec *wire.Record) error {
			mu.Lock()
			defer mu.Unlock()
			sizes[string(rec.TaskID)] = [2]int{len(sent), len(body)}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	ship := func(url, id string, events int) [2]int {
		t.Helper()
		a, err := New(Config{SpoolDir: t.TempDir(), CollectorURL: url})
		if err != nil {
			t.Fatal(err)
		}
		a.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, srv.Listener.Addr().String())
		}}}
		for i := range events {
			if err := a.Created(t.Context(), Task{Task: timeline.Task{ID: id, UserID: fmt.Sprint("u-", i)}}, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return sizes[id]
	}
	if n := ship("http://collector.example:4318", "far", 100); n[1] < 10_000 || n[0]*4 > n[1] {
		t.Errorf("%d bytes went as %d: want a quarter at most", n[1], n[0])
	}
	if n := ship("http://collector.example:4318", "small", 1); n[0] == 0 || n[0] != n[1] {
		t.Errorf("%d bytes went as %d: want them as they are", n[1], n[0])
	}
	if n := ship(srv.URL, "near", 100); n[0] < 10_000 || n[0] != n[1] {
		t.Errorf("%d bytes went as %d to this machine: want them as they are", n[1], n[0])
	}
}

func TestLocal(t *testing.T) {
	for url, want := range map[string]bool{
		"http://127.0.0.1:4318": true, "http://localhost:4318": true, "https://[::1]:4318": true, "http://127.8.0.1": true,
		"http://collector:4318": false, "https://10.0.0.7:4318": false, "http://localhost.example": false,
	} {
		if local(url) != want {
			t.Errorf("local(%q) is %v", url, !want)
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	var frames [][]byte
	for i := range 2000 {
		e := timeline.Event{Type: timeline.AttemptStarted, ID: timeline.DeriveID("bench", fmt.Sprint(i)), Run: 1, Attempt: 1, SourceSeq: uint64(i), SourceID: "018f0000-0000-7000-8000-000000000000"}
		e.Task = timeline.Task{Namespace: "default", ID: fmt.Sprint("task-", i), Type: "payment", Queue: "money", Agent: "bench", Provider: "bank", UserID: "u-1", Amount: "12.50", Currency: "USD"}
		frames = append(frames, wire.AppendLogRecord(nil, &e))
	}
	body := wire.AppendExportRequest(nil, wire.Resource{ServiceName: "bench"}, frames)
	var n int
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		z, err := compress(body)
		if err != nil {
			b.Fatal(err)
		}
		n = len(z)
	}
	b.ReportMetric(float64(len(body))/float64(n), "ratio")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/event")
}
