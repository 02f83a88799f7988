package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	forwardTimeout  = 20 * time.Second
	maxForwardReply = 1 << 20
)

// forwardBody takes traces or metrics over HTTP and passes them on as they came,
// compressed or not; the backend's answer is the answer. Without a backend they
// are accepted, counted and dropped.
func (c *Collector) forwardBody(signal, path string) func(http.ResponseWriter, *http.Request, Principal, string) error {
	return func(w http.ResponseWriter, r *http.Request, _ Principal, media string) error {
		body := http.MaxBytesReader(w, r.Body, int64(c.cfg.MaxCompressedBytes))
		if c.cfg.ForwardOTLP == "" {
			if _, err := io.Copy(io.Discard, body); err != nil {
				return badBody(err)
			}
			c.dropped(signal)
			w.Header().Set("Content-Type", media)
			if media == typeJSON {
				_, _ = io.WriteString(w, "{}")
			}
			return nil
		}
		l, err := c.budget.open(r.Context(), firstRead)
		if err != nil {
			return err
		}
		defer l.close()
		raw, err := c.readAll(body, l)
		defer c.buffers.put(raw)
		if err != nil {
			return badBody(err)
		}
		header := http.Header{"Content-Type": {r.Header.Get("Content-Type")}}
		if e := r.Header.Get("Content-Encoding"); e != "" {
			header.Set("Content-Encoding", e)
		}
		reply, err := c.forward(r.Context(), signal, path, header, raw)
		if err != nil {
			return err
		}
		for _, name := range [...]string{"Content-Type", "Retry-After"} {
			if v := reply.header.Get(name); v != "" {
				w.Header().Set(name, v)
			}
		}
		w.WriteHeader(reply.status)
		_, _ = w.Write(reply.body)
		return nil
	}
}

// forwardRaw takes a protobuf request that came over gRPC.
func (c *Collector) forwardRaw(ctx context.Context, signal string, request []byte) (rawMessage, error) {
	if c.cfg.ForwardOTLP == "" {
		c.dropped(signal)
		return nil, nil
	}
	path := pathTraces
	if signal == signalMetrics {
		path = pathMetrics
	}
	reply, err := c.forward(ctx, signal, path, http.Header{"Content-Type": {typeProtobuf}}, request)
	if err != nil {
		return nil, err
	}
	switch {
	case reply.status/100 == 2:
		return reply.body, nil
	case reply.status == http.StatusTooManyRequests || reply.status >= 500:
		return nil, &OverloadError{RetryAfter: c.cfg.RetryAfter, Cause: fmt.Errorf("the OTLP backend answered %d", reply.status)}
	default:
		return nil, &requestError{reply.status, codes.InvalidArgument, fmt.Sprintf("the OTLP backend answered %d", reply.status)}
	}
}

type forwardReply struct {
	status int
	header http.Header
	body   []byte
}

// forward sends one body to the backend. The sender's token stays here.
func (c *Collector) forward(ctx context.Context, signal, path string, header http.Header, body []byte) (forwardReply, error) {
	c.metrics.other.WithLabelValues(signal).Inc()
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.cfg.ForwardOTLP, "/")+path, bytes.NewReader(body))
	if err != nil {
		return forwardReply{}, fmt.Errorf("forward %s: %w", signal, err)
	}
	req.Header = header
	for k, v := range c.cfg.ForwardHeaders {
		req.Header.Set(k, v)
	}
	resp, err := c.forwarder.Do(req)
	if err != nil {
		c.sayOnce("forward "+signal, "the OTLP backend can't be reached", "error", err)
		return forwardReply{}, &OverloadError{RetryAfter: c.cfg.RetryAfter, Cause: errors.New("the OTLP backend can't be reached")}
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxForwardReply))
	if err != nil {
		return forwardReply{}, &OverloadError{RetryAfter: c.cfg.RetryAfter, Cause: errors.New("the OTLP backend broke off")}
	}
	return forwardReply{resp.StatusCode, resp.Header, reply}, nil
}

// dropped counts a request of a signal nobody wants, and says so once.
func (c *Collector) dropped(signal string) {
	c.metrics.other.WithLabelValues(signal).Inc()
	c.sayOnce("dropped "+signal, "accepted and dropped: no OTLP backend is configured for them", "signal", signal)
}
