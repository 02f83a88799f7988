package collector

import (
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/tasktrail/tasktrail/timeline/wire"
	"github.com/tasktrail/tasktrail/timeline/wire/otlpjson"
)

// The routes of the HTTP receiver.
const (
	pathLogs     = "/v1/logs"
	pathTraces   = "/v1/traces"
	pathMetrics  = "/v1/metrics"
	pathCommands = "/v1/agent/commands"
	pathLive     = "/v1/agent/live"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

const (
	readHeaderTimeout = 5 * time.Second
	writeTimeout      = 30 * time.Second // of one answer, or one line to an agent
	idleTimeout       = 3 * time.Minute
)

func (c *Collector) httpServer() (*http.Server, error) {
	tlsCfg, err := c.cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	return &http.Server{
		Handler:           c.Handler(),
		TLSConfig:         tlsCfg,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(c.cfg.Logger.Handler(), slog.LevelDebug),
	}, nil
}

func (c *Collector) serveHTTP(s *http.Server, l net.Listener) error {
	serve := s.Serve
	if s.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
	}
	if err := serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// Handler is the HTTP receiver: OTLP, the agents' connections, and what operators
// ask.
func (c *Collector) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathLogs, c.otlp(c.postLogs))
	mux.HandleFunc("POST "+pathTraces, c.otlp(c.forwardBody(signalTraces, pathTraces)))
	mux.HandleFunc("POST "+pathMetrics, c.otlp(c.forwardBody(signalMetrics, pathMetrics)))
	mux.HandleFunc("GET "+pathCommands, c.getCommands)
	mux.HandleFunc("POST "+pathLive, c.postLive)
	c.handleOps(mux)
	return mux
}

// contentType returns the media type of a request's body, which is also the one
// of the answer.
func contentType(r *http.Request) (string, error) {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil {
		switch t {
		case typeProtobuf, "application/protobuf":
			return typeProtobuf, nil
		case typeJSON:
			return typeJSON, nil
		}
	}
	return "", &requestError{http.StatusUnsupportedMediaType, codes.InvalidArgument, "Content-Type: want " + typeProtobuf + " or " + typeJSON}
}

// otlp does what the OTLP routes share: deadlines, token, media type, answer.
func (c *Collector) otlp(handle func(http.ResponseWriter, *http.Request, Principal, string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		now := time.Now()
		_ = control.SetReadDeadline(now.Add(c.cfg.ReadTimeout)) // not every writer has one
		_ = control.SetWriteDeadline(now.Add(c.cfg.ReadTimeout + writeTimeout))
		media, err := contentType(r)
		if err != nil {
			c.refuse(w, typeProtobuf, err)
			return
		}
		p, err := c.authenticate(r.Context(), r.Header.Get("Authorization"), ScopeIngest)
		if err == nil {
			err = handle(w, r, p, media)
		}
		if err != nil {
			c.refuse(w, media, err)
			return
		}
		c.metrics.requests.WithLabelValues(transportHTTP, "200").Inc()
	}
}

func (c *Collector) postLogs(w http.ResponseWriter, r *http.Request, p Principal, media string) error {
	body, l, err := c.readBody(w, r)
	if err != nil {
		return err
	}
	defer l.close()
	defer c.buffers.put(body)
	request := body
	if media == typeJSON {
		// The JSON form is read through a tree of objects, several times its size.
		if err := l.resize(jsonWeight * int64(len(body))); err != nil {
			return err
		}
		if request, err = otlpjson.ToProtobuf(body); err != nil {
			return &requestError{http.StatusBadRequest, codes.InvalidArgument, err.Error()}
		}
	}
	report, err := c.accept(r.Context(), wire.Envelope{Namespace: p.Namespace, AnyNamespace: p.AnyNamespace}, request, entry{transport: transportHTTP, operator: p.may(ScopeOperate), admin: p.may(ScopeAdmin)})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", media)
	answer := []byte(nil)
	if media == typeJSON {
		answer = exportResponseJSON(&report)
	} else {
		answer = appendExportResponse(nil, &report)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // a sender that has gone repeats the request
	return nil
}

// refuse answers with the google.rpc.Status that OTLP wants.
func (c *Collector) refuse(w http.ResponseWriter, media string, err error) {
	f := c.explain(err)
	c.metrics.requests.WithLabelValues(transportHTTP, strconv.Itoa(f.http)).Inc()
	st := f.status().Proto()
	var body []byte
	if media == typeJSON {
		body, err = protojson.Marshal(st)
	} else {
		body, err = proto.Marshal(st)
	}
	if err != nil {
		body = nil
	}
	h := w.Header()
	h.Set("Content-Type", media)
	c.setRefusal(h, f)
	w.WriteHeader(f.http)
	_, _ = w.Write(body)
}

// setRefusal sets the headers of a failed answer.
func (c *Collector) setRefusal(h http.Header, f failure) {
	if f.http == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if f.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int((f.retry+time.Second-1)/time.Second)))
	}
}
