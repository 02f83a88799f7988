// Package orders is what the workers of the tests under faults have in common: they
// take tasks over HTTP, and have the tests' receiver do their work. It knows no runner.
package orders

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/agent"
)

// Call has the receiver do an order's work, in the attempt of ctx, and returns what it
// answers, of which a KiB is kept.
func Call(ctx context.Context, receiver, order string, input []byte) ([]byte, error) {
	at, _ := agent.AttemptFrom(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, receiver+"/"+order, bytes.NewReader(input))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Idempotency-Key", at.IdempotencyKey)
	req.Header.Set("Tasktrail-Run", strconv.Itoa(at.Run))
	req.Header.Set("Tasktrail-Attempt", strconv.Itoa(at.Number))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := agent.CheckResponse(resp); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<10))
}

// Serve takes orders at POST /tasks/{id} until ctx ends. An order that take fails on is
// answered with 503, for its sender to send again.
func Serve(ctx context.Context, addr string, take func(ctx context.Context, id string) error) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tasks/{id}", func(w http.ResponseWriter, req *http.Request) {
		if err := take(req.Context(), req.PathValue("id")); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	srv := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return srv.Shutdown(closing)
	}
}
