package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// service is the HTTP service that the tasks call. It fails in the ways real
// services do, by the plan that each call carries, until it is healed.
type service struct {
	srv    *http.Server
	lis    net.Listener
	healed atomic.Bool
	calls  atomic.Int64
	closed chan struct{}
}

// call is the body of a request: how to behave on each attempt, in turn.
type call struct {
	TaskID  string   `json:"task_id"`
	Attempt int      `json:"attempt"`
	Plan    []string `json:"plan"`
}

func startService(ctx context.Context, addr string) (*service, error) {
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the example's service: %w", err)
	}
	s := &service{lis: lis, closed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /work", s.work)
	mux.HandleFunc("POST /heal", func(w http.ResponseWriter, _ *http.Request) {
		s.healed.Store(true)
		_, _ = io.WriteString(w, "healed\n")
	})
	mux.HandleFunc("POST /break", func(w http.ResponseWriter, _ *http.Request) {
		s.healed.Store(false)
		_, _ = io.WriteString(w, "broken\n")
	})
	s.srv = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.srv.Serve(lis) }()
	return s, nil
}

func (s *service) url() string { return "http://" + s.lis.Addr().String() }

func (s *service) close() {
	close(s.closed)
	_ = s.srv.Close()
}

func (s *service) work(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	var c call
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	step := "ok"
	if !s.healed.Load() && len(c.Plan) > 0 {
		step = c.Plan[min(max(c.Attempt, 1), len(c.Plan))-1]
	}
	s.behave(w, r, step, c)
}

// behave answers, or fails to, as the step says.
func (s *service) behave(w http.ResponseWriter, r *http.Request, step string, c call) {
	switch step {
	case "ok":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"task_id": c.TaskID, "done": true})
	case "429":
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
	case "503-date":
		w.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
	case "reset": // RST instead of an answer
		abort(w, true)
	case "eof": // the connection closes before the headers
		abort(w, false)
	case "half": // the body ends before its length
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"half":`)
		_ = http.NewResponseController(w).Flush()
		abort(w, false)
	case "hang":
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
	default:
		code, err := strconv.Atoi(step)
		if err != nil {
			code = http.StatusInternalServerError
		}
		http.Error(w, "planned failure for "+c.TaskID, code)
	}
}

// abort closes the connection under the response, with a reset where asked.
func abort(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the server's own way to drop a connection
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
