package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	chproto "github.com/ClickHouse/ch-go/proto"
)

// shutdownTimeout bounds how long running statements are waited for.
const shutdownTimeout = 8 * time.Second

// Serve opens the engine in this process and answers HTTP until ctx ends or
// something fails. It can be called once in a process: the engine's threads and
// memory are not taken back.
func Serve(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if cfg.Credentials.isZero() {
		cfg.Credentials, err = LoadCredentials(cfg.DataDir)
	} else {
		err = cfg.Credentials.validate()
	}
	if err != nil {
		return fmt.Errorf("embedded ClickHouse: %w", err)
	}
	ln := cfg.Listener
	if ln == nil {
		if ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Addr); err != nil {
			return fmt.Errorf("embedded ClickHouse: listen on TASKTRAIL_CLICKHOUSE_ADDR: %w", err)
		}
	}
	defer func() { _ = ln.Close() }()

	began := time.Now()
	srv, err := newServer(cfg)
	if err != nil {
		return err
	}
	defer srv.close()
	cfg.Logger.Info("embedded ClickHouse is ready", "addr", ln.Addr().String(), "version", srv.version, "took", time.Since(began).Round(time.Millisecond))
	return srv.run(ctx, ln)
}

// server answers ClickHouse's HTTP interface.
type server struct {
	cfg      Config
	users    *users
	sessions *sessions
	anchor   *connection // keeps the engine open while no session is
	version  string

	slots   chan struct{}
	waiting atomic.Int64
}

func newServer(cfg Config) (*server, error) {
	lib, err := loadLibrary(cfg.LibPath)
	if err != nil {
		return nil, err
	}
	// The Go runtime has handlers of its own, which it needs.
	lib.signalHandlers(0)
	e := &engine{lib: lib}
	for _, a := range append([]string{
		"clickhouse", "--path=" + filepath.Join(cfg.DataDir, "engine"),
		"--max_server_memory_usage=" + strconv.FormatInt(cfg.MaxMemory, 10),
	}, cfg.EngineArgs...) {
		e.args = append(e.args, append([]byte(a), 0))
	}
	anchor, err := e.connect()
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, users: newUsers(cfg.Credentials), anchor: anchor, slots: make(chan struct{}, cfg.MaxConcurrent)}
	s.sessions = newSessions(e, []setting{
		{"max_result_bytes", strconv.FormatInt(cfg.MaxResultBytes, 10)},
		{"result_overflow_mode", "throw"},
		{"output_format_native_encode_types_in_binary_format", "0"},
	}, 16)
	err = anchor.query([]byte("SELECT version()"), "TabSeparatedRaw", nil, func(out []byte, _ uint64) error {
		s.version = string(trimNewline(out))
		return nil
	})
	if err != nil {
		anchor.close()
		return nil, fmt.Errorf("embedded ClickHouse: %w", err)
	}
	return s, nil
}

func trimNewline(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return b
}

func (s *server) close() {
	s.sessions.close()
	s.anchor.close()
}

func (s *server) run(ctx context.Context, ln net.Listener) error {
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    1 << 20, // parameters travel in the URL
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("embedded ClickHouse: serve: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := h.Shutdown(end)
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("embedded ClickHouse: statements were still running after %s: %w", shutdownTimeout, err)
	}
	return nil
}

// ServeHTTP answers one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ping", "/replicas_status":
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		_, _ = io.WriteString(w, "Ok.\n")
		return
	case "/", "/query":
	default:
		http.Error(w, "There is no handle "+strconv.Quote(r.URL.Path)+"; statements go to /", http.StatusNotFound)
		return
	}
	w.Header().Set("X-ClickHouse-Server-Display-Name", "tasktrail")
	w.Header().Set("X-ClickHouse-Timezone", "UTC")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := s.answer(w, r); err != nil {
		e := asException(err)
		w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.Code))
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		w.WriteHeader(e.status())
		_, _ = io.WriteString(w, e.Text+"\n")
	}
}

// answer runs the request. Nothing was written to w where it fails.
func (s *server) answer(w http.ResponseWriter, r *http.Request) error {
	readonly, err := s.users.authenticate(r)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		return exceptionf(48, "NOT_IMPLEMENTED", "Method %.20q: use GET or POST", r.Method)
	}
	leave, err := s.enter(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	req, err := parseRequest(r, readonly, s.cfg.MaxBodyBytes)
	if err != nil {
		return err
	}
	if string(req.sql) == helloQuery {
		return s.hello(w, req)
	}
	conn, err := s.sessions.get(&req.state)
	if err != nil {
		return err
	}
	err = s.execute(w, req, conn)
	s.sessions.put(&req.state, conn, err == nil && req.state.readonly)
	return err
}

// enter waits for a slot.
func (s *server) enter(ctx context.Context) (leave func(), err error) {
	if s.waiting.Add(1) > int64(9*s.cfg.MaxConcurrent) {
		s.waiting.Add(-1)
		return nil, exceptionf(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "%d statements run and wait already", 9*s.cfg.MaxConcurrent)
	}
	select {
	case s.slots <- struct{}{}:
		return func() {
			<-s.slots
			s.waiting.Add(-1)
		}, nil
	case <-ctx.Done():
		s.waiting.Add(-1)
		return nil, exceptionf(394, "QUERY_WAS_CANCELLED", "The client went away")
	}
}

func (s *server) execute(w http.ResponseWriter, req *request, conn *connection) error {
	if req.hasData {
		if len(req.params) > 0 {
			return exceptionf(48, "NOT_IMPLEMENTED", "Query parameters in an INSERT with data")
		}
		if err := conn.insert(string(req.sql), req.st.format, req.data); err != nil {
			return err
		}
		w.Header().Set("Content-Type", contentType(""))
		w.Header().Set("Content-Length", "0")
		return nil
	}
	return conn.query(req.sql, req.format, req.params, func(out []byte, rows uint64) error {
		format := firstOf(req.st.format, req.format)
		w.Header().Set("X-ClickHouse-Format", format)
		w.Header().Set("X-ClickHouse-Summary", `{"read_rows":"`+strconv.FormatUint(rows, 10)+`","result_bytes":"`+strconv.Itoa(len(out))+`"}`)
		w.Header().Set("Content-Type", contentType(format))
		return send(w, out, req.compress, req.method)
	})
}

// send writes a result. That the client went away is its own affair.
func send(w http.ResponseWriter, out []byte, compressed bool, method string) error {
	if !compressed {
		w.Header().Set("Content-Length", strconv.Itoa(len(out)))
		_, _ = w.Write(out)
		return nil
	}
	m := compress.LZ4
	if method == "ZSTD" {
		m = compress.ZSTD
	}
	c := compress.NewWriter(compress.LevelZero, m)
	for len(out) > 0 {
		n := min(len(out), 1<<20)
		if err := c.Compress(out[:n]); err != nil {
			return fmt.Errorf("compress the result: %w", err)
		}
		if _, err := w.Write(c.Data); err != nil {
			return nil //nolint:nilerr // nobody is there to be told
		}
		out = out[n:]
	}
	return nil
}

// helloQuery is what clickhouse-go asks first. It decodes the answer with its
// own revision of the block format, which the engine's Native output is not; the
// revision 0 it learns from it makes both the same for everything after.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

func (s *server) hello(w http.ResponseWriter, req *request) error {
	var name, version, zone chproto.ColStr
	var revision chproto.ColUInt32
	name.Append("tasktrail")
	version.Append(s.version)
	revision.Append(0)
	zone.Append("UTC")
	var buf chproto.Buffer
	block := chproto.Block{Info: chproto.BlockInfo{BucketNum: -1}, Columns: 4, Rows: 1}
	if err := block.EncodeBlock(&buf, req.revision, []chproto.InputColumn{
		{Name: "displayName()", Data: &name}, {Name: "version()", Data: &version},
		{Name: "revision()", Data: &revision}, {Name: "timezone()", Data: &zone},
	}); err != nil {
		return fmt.Errorf("encode the handshake: %w", err)
	}
	w.Header().Set("Content-Type", contentType("Native"))
	w.Header().Set("X-ClickHouse-Format", "Native")
	return send(w, buf.Buf, req.compress, req.method)
}

// contentType is that of a format's output.
func contentType(format string) string {
	switch format {
	case "JSON", "JSONCompact", "JSONStrings", "JSONColumnsWithMetadata", "JSONColumns", "JSONObjectEachRow":
		return "application/json; charset=UTF-8"
	case "JSONEachRow", "JSONCompactEachRow", "JSONStringsEachRow", "NDJSON", "JSONLines":
		return "application/x-ndjson; charset=UTF-8"
	case "CSV", "CSVWithNames", "CSVWithNamesAndTypes":
		return "text/csv; charset=UTF-8; header=" + map[bool]string{true: "absent", false: "present"}[format == "CSV"]
	case "TabSeparated", "TSV", "TabSeparatedWithNames", "TSVWithNames", "TabSeparatedWithNamesAndTypes", "TabSeparatedRaw", "TSVRaw":
		return "text/tab-separated-values; charset=UTF-8"
	case "XML":
		return "application/xml; charset=UTF-8"
	case "Native", "RowBinary", "RowBinaryWithNamesAndTypes", "Parquet", "Arrow", "ArrowStream", "ORC", "Avro", "MsgPack":
		return "application/octet-stream"
	default:
		return "text/plain; charset=UTF-8"
	}
}
