package failure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

type sqlError string

func (e sqlError) Error() string    { return "ERROR: " + string(e) }
func (e sqlError) SQLState() string { return string(e) }

type statusError int

func (e statusError) Error() string   { return fmt.Sprint("status ", int(e)) }
func (e statusError) StatusCode() int { return int(e) }

type awsError int

func (e awsError) Error() string       { return fmt.Sprint("status ", int(e)) }
func (e awsError) HTTPStatusCode() int { return int(e) }

type knowing struct {
	retryable bool
	cause     error
}

func (e *knowing) Error() string   { return "knowing" }
func (e *knowing) Retryable() bool { return e.retryable }
func (e *knowing) Unwrap() error   { return e.cause }

type patient time.Duration

func (e patient) Error() string             { return "patient" }
func (e patient) RetryAfter() time.Duration { return time.Duration(e) }

// The shape of gRPC's errors and messages.
type (
	grpcCode   uint32
	grpcAny    struct{ url, value string }
	grpcProto  struct{ details []*grpcAny }
	grpcStatus struct {
		code  grpcCode
		proto *grpcProto
	}
	grpcError struct{ s *grpcStatus }
)

func (a *grpcAny) GetTypeUrl() string        { return a.url }
func (a *grpcAny) GetValue() []byte          { return []byte(a.value) }
func (p *grpcProto) GetDetails() []*grpcAny  { return p.details }
func (s *grpcStatus) Code() grpcCode         { return s.code }
func (s *grpcStatus) Proto() *grpcProto      { return s.proto }
func (e *grpcError) Error() string           { return fmt.Sprintf("rpc error: code = %d", e.s.code) }
func (e *grpcError) GRPCStatus() *grpcStatus { return e.s }

// grpcErr returns a gRPC error, with RetryInfo of 2.5 s where told to.
func grpcErr(code grpcCode, retryInfo bool) error {
	s := &grpcStatus{code, &grpcProto{}}
	if retryInfo {
		s.proto.details = []*grpcAny{{"type.googleapis.com/google.rpc.Other", "\x01"},
			{"type.googleapis.com/google.rpc.RetryInfo", "\x0a\x08\x08\x02\x10\x80\xca\xb5\xee\x01"}}
	}
	return &grpcError{s}
}

func parseError() error { _, err := url.Parse("http://[::1"); return err }

func opError(err error) error {
	return &url.Error{Op: "Post", URL: "http://psp", Err: &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}}
}

// TestTable holds every row of the table of conditions.
func TestTable(t *testing.T) {
	const (
		retry     = timeline.ClassRetryable
		permanent = timeline.ClassPermanent
		deferred  = timeline.ClassDeferred
		counts    = BreakerFailure
		ignored   = BreakerIgnore
	)
	for name, c := range map[string]struct {
		err     error
		class   timeline.ErrorClass
		kind    string
		breaker BreakerEffect
		code    string
	}{
		"500":                    {&HTTPError{Status: 500}, retry, "http_500", counts, "500"},
		"501":                    {&HTTPError{Status: 501}, retry, "http_501", counts, "501"},
		"503":                    {&HTTPError{Status: 503}, retry, "http_503", counts, "503"},
		"599":                    {statusError(599), retry, "http_599", counts, "599"},
		"408":                    {awsError(408), retry, "http_408", counts, "408"},
		"425":                    {statusError(425), retry, "http_425", ignored, "425"},
		"429":                    {statusError(429), retry, "http_429", ignored, "429"},
		"400":                    {statusError(400), permanent, "http_400", ignored, "400"},
		"401":                    {statusError(401), permanent, "http_401", ignored, "401"},
		"404":                    {awsError(404), permanent, "http_404", ignored, "404"},
		"409":                    {&HTTPError{Status: 409}, permanent, "http_409", ignored, "409"},
		"422":                    {&HTTPError{Status: 422}, permanent, "http_422", ignored, "422"},
		"status 200 says naught": {statusError(200), retry, KindOther, counts, ""},
		"missing callback":       {ErrInvalidCallbackURL, permanent, KindInvalidCallbackURL, ignored, ""},
		"malformed callback":     {fmt.Errorf("callback: %w", parseError()), permanent, KindInvalidCallbackURL, ignored, ""},
		"unsupported scheme":     {doRequest("ftp://x/"), permanent, KindInvalidCallbackURL, ignored, ""},
		"no host":                {doRequest("http:///x"), permanent, KindInvalidCallbackURL, ignored, ""},
		"unknown type":           {fmt.Errorf("run: %w", ErrUnknownTaskType), permanent, KindUnknownTaskType, ignored, ""},
		"undecodable input":      {fmt.Errorf("run: %w", ErrUndecodableInput), permanent, KindUndecodableInput, ignored, ""},
		"net timeout":            {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, retry, KindTimeout, counts, ""},
		"os deadline":            {os.ErrDeadlineExceeded, retry, KindTimeout, counts, ""},
		"own sub-context":        {context.DeadlineExceeded, retry, KindTimeout, counts, ""},
		"ETIMEDOUT":              {opError(syscall.ETIMEDOUT), retry, KindTimeout, counts, ""},
		"refused":                {opError(syscall.ECONNREFUSED), retry, KindConnectionRefused, counts, "ECONNREFUSED"},
		"host unreachable":       {opError(syscall.EHOSTUNREACH), retry, KindHostUnreachable, counts, "EHOSTUNREACH"},
		"network unreachable":    {opError(syscall.ENETUNREACH), retry, KindNetworkUnreachable, counts, "ENETUNREACH"},
		"reset":                  {opError(syscall.ECONNRESET), retry, KindConnectionReset, counts, "ECONNRESET"},
		"broken pipe":            {opError(syscall.EPIPE), retry, KindBrokenPipe, counts, "EPIPE"},
		"EOF before headers":     {&url.Error{Op: "Post", URL: "u", Err: io.EOF}, retry, KindEOF, counts, ""},
		"unexpected EOF":         {fmt.Errorf("body: %w", io.ErrUnexpectedEOF), retry, KindUnexpectedEOF, counts, ""},
		"idle connection":        {errors.New("http: server closed idle connection"), retry, KindConnectionClosed, counts, ""},
		"GOAWAY":                 {errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1"), retry, KindConnectionClosed, counts, ""},
		"NXDOMAIN":               {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, retry, KindDNSNotFound, ignored, ""},
		"DNS server failure":     {&net.DNSError{Err: "server misbehaving", IsTemporary: true}, retry, KindDNS, counts, ""},
		"DNS timeout":            {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", IsTimeout: true}}, retry, KindDNS, counts, ""},
		"certificate":            {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, permanent, KindTLSCertificate, ignored, ""},
		"certificate, bare":      {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}, permanent, KindTLSCertificate, ignored, ""},
		"certificate expired":    {fmt.Errorf("call: %w", x509.CertificateInvalidError{Reason: x509.Expired}), permanent, KindTLSCertificate, ignored, ""},
		"TLS alert":              {&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, retry, KindTLSHandshake, counts, ""},
		"not TLS":                {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, retry, KindTLSHandshake, counts, ""},
		"gRPC UNAVAILABLE":       {grpcErr(14, false), retry, "grpc_UNAVAILABLE", counts, "UNAVAILABLE"},
		"gRPC DEADLINE":          {grpcErr(4, false), retry, "grpc_DEADLINE_EXCEEDED", counts, "DEADLINE_EXCEEDED"},
		"gRPC INTERNAL":          {fmt.Errorf("call: %w", grpcErr(13, false)), retry, "grpc_INTERNAL", counts, "INTERNAL"},
		"gRPC UNKNOWN":           {grpcErr(2, false), retry, "grpc_UNKNOWN", counts, "UNKNOWN"},
		"gRPC ABORTED":           {grpcErr(10, false), retry, "grpc_ABORTED", ignored, "ABORTED"},
		"gRPC EXHAUSTED, info":   {grpcErr(8, true), retry, "grpc_RESOURCE_EXHAUSTED", ignored, "RESOURCE_EXHAUSTED"},
		"gRPC EXHAUSTED":         {grpcErr(8, false), permanent, "grpc_RESOURCE_EXHAUSTED", ignored, "RESOURCE_EXHAUSTED"},
		"gRPC NOT_FOUND":         {grpcErr(5, true), permanent, "grpc_NOT_FOUND", ignored, "NOT_FOUND"},
		"gRPC CANCELLED":         {grpcErr(1, false), permanent, "grpc_CANCELLED", ignored, "CANCELLED"},
		"SQL serialization":      {sqlError("40001"), retry, "sqlstate_40001", ignored, "40001"},
		"SQL deadlock":           {sqlError("40P01"), retry, "sqlstate_40P01", ignored, "40P01"},
		"SQL connection":         {sqlError("08006"), retry, "sqlstate_08006", counts, "08006"},
		"SQL too many":           {sqlError("53300"), retry, "sqlstate_53300", counts, "53300"},
		"SQL shutdown":           {sqlError("57P01"), retry, "sqlstate_57P01", counts, "57P01"},
		"SQL data":               {sqlError("22P02"), permanent, "sqlstate_22P02", ignored, "22P02"},
		"SQL unique":             {fmt.Errorf("insert: %w", sqlError("23505")), permanent, "sqlstate_23505", ignored, "23505"},
		"SQL syntax":             {sqlError("42601"), permanent, "sqlstate_42601", ignored, "42601"},
		"SQL other":              {sqlError("55P03"), retry, KindOther, counts, "55P03"},
		"panic":                  {NewPanic("boom"), permanent, KindPanic, ignored, ""},
		"panic with an error":    {NewPanic(statusError(503)), permanent, KindPanic, ignored, ""},
		"goexit":                 {NewGoexit(), permanent, KindGoexit, ignored, ""},
		"EMFILE":                 {opError(syscall.EMFILE), retry, KindTooManyOpenFiles, ignored, "EMFILE"},
		"ENOMEM":                 {&os.SyscallError{Syscall: "mmap", Err: syscall.ENOMEM}, retry, KindNoMemory, ignored, "ENOMEM"},
		"ENOSPC":                 {&os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, retry, KindNoSpace, ignored, "ENOSPC"},
		"anything else":          {errors.New("huh"), retry, KindOther, counts, ""},
		"circuit open":           {ErrCircuitOpen, deferred, KindCircuitOpen, ignored, ""},
		"joined":                 {errors.Join(statusError(503), errors.New("x"), statusError(400)), permanent, "http_400", ignored, "400"},
		"joined deep":            {fmt.Errorf("a: %w, b: %w", errors.New("x"), fmt.Errorf("c: %w", errors.Join(sqlError("23505")))), permanent, "sqlstate_23505", ignored, "23505"},
	} {
		f := Classify(context.Background(), context.Background(), c.err)
		if f.Class != c.class || f.Kind != c.kind || f.Breaker != c.breaker || c.code != "" && f.Code != c.code {
			t.Errorf("%s: class %s kind %s code %s breaker %d, want %s %s %s %d", name, f.Class, f.Kind, f.Code, f.Breaker, c.class, c.kind, c.code, c.breaker)
		}
		if f.Err != c.err || f.OK() {
			t.Errorf("%s: the error itself was lost", name)
		}
		if want := f.Class == permanent; (f.Reason == timeline.FailPermanent) != want {
			t.Errorf("%s: reason %q of class %s", name, f.Reason, f.Class)
		}
	}
}

func doRequest(target string) error {
	resp, err := http.Get(target)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func TestSettings(t *testing.T) {
	c, err := New(Settings{
		RetryableStatus: []int{404}, PermanentStatus: []int{501, 429},
		Classifiers: []func(error) (Failure, bool){
			func(error) (Failure, bool) { panic("a classifier of poor quality") },
			func(err error) (Failure, bool) {
				return Failure{Class: timeline.ClassPermanent, Kind: "quota"}, err.Error() == "quota"
			},
			func(err error) (Failure, bool) { return Failure{}, err.Error() == "odd" },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, got := range map[string]struct {
		f     Failure
		class timeline.ErrorClass
		kind  string
	}{
		"404":                          {c.Classify(nil, nil, statusError(404)), timeline.ClassRetryable, "http_404"},
		"501":                          {c.Classify(nil, nil, statusError(501)), timeline.ClassPermanent, "http_501"},
		"429":                          {c.Classify(nil, nil, statusError(429)), timeline.ClassPermanent, "http_429"},
		"500":                          {c.Classify(nil, nil, statusError(500)), timeline.ClassRetryable, "http_500"},
		"user's":                       {c.Classify(nil, nil, errors.New("quota")), timeline.ClassPermanent, "quota"},
		"user's, empty":                {c.Classify(nil, nil, errors.New("odd")), timeline.ClassRetryable, KindOther},
		"user's, permanent, cancelled": {c.Classify(ctx, nil, errors.New("quota")), timeline.ClassPermanent, "quota"},
		"user's, retryable, cancelled": {c.Classify(ctx, nil, errors.New("odd")), timeline.ClassAborted, KindCancelled},
	} {
		if got.f.Class != got.class || got.f.Kind != got.kind || got.f.Err == nil {
			t.Errorf("%s: %+v", name, got.f)
		}
	}
	_, err = New(Settings{RetryableStatus: []int{200, 404}, PermanentStatus: []int{700}, Classifiers: []func(error) (Failure, bool){nil}})
	if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 3 {
		t.Errorf("want 3 faults, got %v", err)
	}
}

// hostile are errors whose methods do what methods must not.
type hostile struct{ how string }

func (h *hostile) Error() string {
	if h.how == "error" {
		panic("Error")
	}
	return h.how
}

func (h *hostile) Unwrap() error {
	if h.how == "cycle" {
		return h
	}
	panic("Unwrap")
}

func (h *hostile) Retryable() bool           { panic("Retryable") }
func (h *hostile) RetryAfter() time.Duration { panic("RetryAfter") }
func (h *hostile) StatusCode() int           { panic("StatusCode") }
func (h *hostile) SQLState() string          { panic("SQLState") }
func (h *hostile) GRPCStatus() *grpcStatus   { panic("GRPCStatus") }
func (h *hostile) Is(error) bool             { panic("Is") }

type wide struct{}

func (w wide) Error() string   { return "wide" }
func (w wide) Unwrap() []error { return []error{w, w, w, nil} }

func TestHostileErrors(t *testing.T) {
	var nilHTTP *HTTPError
	var nilGRPC *grpcError
	deep := errors.New("bottom")
	for range 100_000 {
		deep = fmt.Errorf("%w", deep)
	}
	for name, err := range map[string]error{
		"panics": &hostile{"x"}, "no text": &hostile{"error"}, "cycle": &hostile{"cycle"}, "wide": wide{},
		"nil pointer": (*hostile)(nil), "nil HTTP": nilHTTP, "nil gRPC": nilGRPC, "nil OpError": (*net.OpError)(nil),
		"nil mark": (*permanentError)(nil), "gRPC without status": &grpcError{}, "gRPC without details": &grpcError{&grpcStatus{code: 14}},
	} {
		f := Classify(context.Background(), nil, err)
		if f.OK() || f.Err == nil {
			t.Errorf("%s: %+v", name, f)
		}
		if e := f.ToError(); e.Fingerprint == "" {
			t.Errorf("%s: no fingerprint", name)
		}
	}
	if f := Classify(context.Background(), nil, deep); f.Class != timeline.ClassRetryable {
		t.Errorf("deep: %+v", f)
	}
	// A sibling of what panics is still seen.
	if f := Classify(context.Background(), nil, errors.Join(&hostile{"x"}, statusError(400))); f.Kind != "http_400" {
		t.Errorf("sibling: %+v", f)
	}
}

func TestToError(t *testing.T) {
	long := strings.Repeat("é", timeline.MaxMessageBytes)
	f := Classify(context.Background(), nil, &HTTPError{Status: 503, Body: "down\xff"})
	e := f.ToError()
	if e.Class != timeline.ClassRetryable || e.Kind != "http_503" || e.Code != "503" || e.HTTPStatus != 503 || e.Message != "HTTP 503 Service Unavailable: down?" {
		t.Errorf("%+v", e)
	}
	f = Classify(context.Background(), nil, errors.New(long))
	if e = f.ToError(); len(e.Message) > timeline.MaxMessageBytes || !strings.HasSuffix(e.Message, "é…") {
		t.Errorf("a long message became %d bytes ending in %q", len(e.Message), e.Message[len(e.Message)-8:])
	}
	f = Classify(context.Background(), nil, NewPanic("boom"))
	if e = f.ToError(); e.Message != "panic: boom" || !strings.Contains(e.Stack, "TestToError") {
		t.Errorf("%+v", e)
	}
	if f = Classify(context.Background(), nil, nil); f.ToError() != nil {
		t.Error("an error for success")
	}
}

func TestSuccessCostsNothing(t *testing.T) {
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() {
		if f := Classify(ctx, ctx, nil); !f.OK() {
			t.Fatal("no success")
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkClassifyNil(b *testing.B) {
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if f := Classify(ctx, ctx, nil); !f.OK() {
			b.Fatal("no success")
		}
	}
}

func BenchmarkClassifyError(b *testing.B) {
	ctx := context.Background()
	err := fmt.Errorf("charge: %w", opError(syscall.ECONNREFUSED))
	b.ReportAllocs()
	for b.Loop() {
		f := Classify(ctx, ctx, err)
		if f.ToError() == nil {
			b.Fatal("no failure")
		}
	}
}
