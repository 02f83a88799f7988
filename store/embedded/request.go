package embedded

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	chproto "github.com/ClickHouse/ch-go/proto"
)

// request is one HTTP request in the words of the engine.
type request struct {
	state    state
	sql      []byte
	data     []byte // of an INSERT, where hasData
	hasData  bool
	st       statement
	params   []param
	format   string // default format of the answer
	compress bool
	method   string // network_compression_method, upper case
	revision int    // client_protocol_version
}

// notSettings are URL parameters that are not settings of the statement.
var notSettings = []string{
	"query", "database", "default_format", "user", "password", "compress", "decompress", "query_id", "session_timeout",
	"session_check", "stacktrace", "quota_key", "buffer_size", "wait_end_of_query", "client_protocol_version", "role",
	"network_compression_method", "network_zstd_compression_level", "add_http_cors_header", "send_progress_in_http_headers",
	"http_write_exception_in_output_format", "enable_http_compression",
}

// parseRequest reads a request of an authenticated user. An error is an
// *Exception.
func parseRequest(r *http.Request, readonly bool, maxBody int64) (*request, error) {
	q := r.URL.Query()
	req := &request{
		format: firstOf(r.Header.Get("X-ClickHouse-Format"), q.Get("default_format"), "TabSeparated"),
		// A GET must change nothing, as with ClickHouse.
		state: state{
			database: firstOf(r.Header.Get("X-ClickHouse-Database"), q.Get("database")),
			readonly: readonly || r.Method == http.MethodGet || r.Method == http.MethodHead,
		},
		compress: truthy(q.Get("compress")),
		method:   strings.ToUpper(firstOf(q.Get("network_compression_method"), "LZ4")),
	}
	req.revision, _ = strconv.Atoi(q.Get("client_protocol_version"))
	if !formatName(req.format) {
		return nil, exceptionf(73, "UNKNOWN_FORMAT", "Unknown format %.40q", req.format)
	}
	if err := req.takeParams(q); err != nil {
		return nil, err
	}
	body, err := readBody(r, truthy(q.Get("decompress")), maxBody)
	if err != nil {
		return nil, err
	}
	if err := req.takeStatement(q.Get("query"), body); err != nil {
		return nil, err
	}
	if req.state.readonly && !slices.Contains(readingVerbs, req.st.verb) {
		return nil, exceptionf(164, "READONLY", "Cannot execute %.20q in readonly mode", req.st.verb)
	}
	return req, nil
}

// readingVerbs begin the statements of a reader. The engine holds the rest of the
// line, but for SYSTEM, which it lets a reader say.
var readingVerbs = []string{"SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"}

func (req *request) takeParams(q url.Values) error {
	names := make([]string, 0, len(q))
	for name := range q {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := q.Get(name)
		if p, ok := strings.CutPrefix(name, "param_"); ok {
			req.params = append(req.params, param{p, value})
			continue
		}
		switch {
		case name == "session_id":
			return exceptionf(344, "SUPPORT_IS_DISABLED", "Sessions are not available on the embedded engine")
		case slices.Contains(notSettings, name), strings.HasSuffix(name, "_format") && q.Has(strings.TrimSuffix(name, "_format")+"_structure"):
			continue
		case !settingName(name):
			return exceptionf(115, "UNKNOWN_SETTING", "Unknown setting %.60q", name)
		}
		req.state.settings = append(req.state.settings, setting{name, value})
	}
	return nil
}

// takeStatement tells statement and data apart: a statement in the URL has its
// data in the body, one in the body has them behind its FORMAT clause.
func (req *request) takeStatement(inURL string, body []byte) (err error) {
	req.sql = []byte(inURL)
	if inURL == "" {
		req.sql = body
	}
	if req.st, err = parseStatement(req.sql); err != nil {
		return err
	}
	switch {
	case req.st.verb == "INSERT" && req.st.head >= 0:
		inline := bytes.TrimLeft(req.sql[req.st.data:], " \t\r\n")
		req.sql = bytes.TrimSpace(req.sql[:req.st.head])
		req.hasData = true
		if req.data = inline; inURL != "" && len(body) > 0 {
			req.data = body
			if len(bytes.TrimRight(inline, "; \t\r\n")) > 0 {
				req.data = slices.Concat(inline, []byte("\n"), body)
			}
		}
		if len(bytes.TrimSpace(req.data)) == 0 && inURL == "" {
			return exceptionf(62, "SYNTAX_ERROR", "INSERT without data")
		}
	case inURL != "" && len(body) > 0:
		req.sql = slices.Concat(req.sql, []byte("\n"), body)
		req.st, err = parseStatement(req.sql)
	}
	return err
}

func readBody(r *http.Request, native bool, limit int64) ([]byte, error) {
	if r.Body == nil || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil, nil
	}
	var in io.Reader = http.MaxBytesReader(nil, r.Body, limit)
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, exceptionf(354, "ZLIB_INFLATE_FAILED", "gzip body: %v", err)
		}
		in = z
	default:
		return nil, exceptionf(48, "NOT_IMPLEMENTED", "Content-Encoding %.40q: only gzip is understood", enc)
	}
	if native {
		cr := chproto.NewReader(in)
		cr.EnableCompression()
		in = cr
	}
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= limit && !native {
		buf.Grow(int(n) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(in, limit+1))
	var tooLarge *http.MaxBytesError
	switch {
	case n > limit, errors.As(err, &tooLarge):
		return nil, exceptionf(307, "TOO_MANY_BYTES", "The body is larger than %d bytes", limit)
	case err != nil && !errors.Is(err, io.EOF):
		return nil, exceptionf(210, "NETWORK_ERROR", "Reading the body: %v", err)
	}
	return buf.Bytes(), nil
}

// users checks who asks.
type users struct{ all []user }

type user struct {
	name, password [sha256.Size]byte
	readonly       bool
}

func newUsers(c Credentials) *users {
	u := &users{all: []user{{sha256.Sum256([]byte(c.User)), sha256.Sum256([]byte(c.Password)), false}}}
	if c.ReaderUser != "" {
		u.all = append(u.all, user{sha256.Sum256([]byte(c.ReaderUser)), sha256.Sum256([]byte(c.ReaderPassword)), true})
	}
	return u
}

// authenticate reports whether the user may only read. It takes the same time
// whoever asks.
func (u *users) authenticate(r *http.Request) (readonly bool, err error) {
	name, password, basic := r.BasicAuth()
	if !basic {
		name, password = r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
		if name == "" {
			name, password = r.URL.Query().Get("user"), r.URL.Query().Get("password")
		}
	}
	n, p := sha256.Sum256([]byte(name)), sha256.Sum256([]byte(password))
	found := -1
	for i := range u.all {
		same := subtle.ConstantTimeCompare(n[:], u.all[i].name[:]) & subtle.ConstantTimeCompare(p[:], u.all[i].password[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return false, exceptionf(516, "AUTHENTICATION_FAILED",
			"Authentication failed: password is incorrect, or there is no user with such name")
	}
	return u.all[found].readonly, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func truthy(s string) bool { return s == "1" || s == "true" }

func settingName(s string) bool {
	return s != "" && len(s) <= 128 && strings.IndexFunc(s, func(r rune) bool {
		return !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	}) < 0
}

func formatName(s string) bool { return settingName(s) && (s[0] < '0' || s[0] > '9') }

// status is the HTTP status of an exception, as ClickHouse's own.
func (e *Exception) status() int {
	switch e.Code {
	case 193, 194, 516, 192: // wrong, required password; authentication failed; unknown user
		return http.StatusForbidden
	case 497, 291, 164: // access denied, database access denied, readonly
		return http.StatusForbidden
	case 62, 6, 26, 27, 33, 38, 41, 42, 43, 44, 47, 53, 69, 70, 72, 73, 117, 354, 36, 44999, 456, 457, 344:
		return http.StatusBadRequest
	case 46, 50, 60, 81, 115, 141, 16:
		return http.StatusNotFound
	case 159:
		return http.StatusRequestTimeout
	case 307:
		return http.StatusRequestEntityTooLarge
	case 48:
		return http.StatusNotImplemented
	case 202, 439:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

func asException(err error) *Exception {
	var e *Exception
	if errors.As(err, &e) {
		return e
	}
	return newException(fmt.Sprint(err))
}
