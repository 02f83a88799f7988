package collector

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Config is what operators set. The zero value of every field but Dir works.
type Config struct {
	// GRPCAddr is where OTLP over gRPC is received, host:port; port 0 takes a free
	// one, see [Collector.GRPCAddr]. "-" for none. Defaults to 127.0.0.1:4317.
	GRPCAddr string
	// HTTPAddr is where OTLP over HTTP and the agents' connections are received.
	// "-" for none. Defaults to 127.0.0.1:4318.
	HTTPAddr string
	// Dir holds the log, the state of the followers and what was set aside. It
	// must outlive the process. Required.
	Dir string

	// LogMaxBytes bounds the log on disk. A full log makes the receivers push
	// back; nothing accepted is dropped. Raise it for longer outages of a sink.
	// Defaults to 10 GiB.
	LogMaxBytes int64
	// LogSegmentBytes is the size of one file of the log; space is given back by
	// whole files. Defaults to 64 MiB, or a quarter of LogMaxBytes where that is
	// less.
	LogSegmentBytes int64
	// SetAsideMaxBytes bounds, for each sink, the files of what it will never
	// take. Past it the sink waits instead of setting more aside. Defaults to
	// 1 GiB.
	SetAsideMaxBytes int64

	// MaxCompressedBytes bounds a request as it travels. Defaults to 8 MiB.
	MaxCompressedBytes int
	// MaxRequestBytes bounds a request after decompression; it has to fit into one
	// segment of the log. Defaults to 16 MiB, or what fits into a segment where
	// that is less.
	MaxRequestBytes int
	// MaxRecordBytes bounds one log record; larger ones are refused, the rest of
	// the request is kept. Defaults to 2 MiB.
	MaxRecordBytes int
	// MaxInFlightBytes bounds the memory of requests being read and written; past
	// it receivers answer that they are overloaded. Defaults to 64 MiB.
	MaxInFlightBytes int64
	// MaxConnections bounds the connections of each receiver. Defaults to 4096.
	MaxConnections int
	// MaxStreams bounds the concurrent requests of one gRPC connection. Defaults
	// to 128.
	MaxStreams int
	// MaxAgents bounds the connections on which agents wait for commands. Defaults
	// to 2048.
	MaxAgents int
	// ReadTimeout is how long the body of a request may take to arrive. Defaults
	// to 30 s.
	ReadTimeout time.Duration
	// OverloadWait is how long a request waits for room before it is told to come
	// back. Defaults to 500 ms.
	OverloadWait time.Duration
	// RetryAfter is what a refused sender is told to wait. Defaults to 1 s.
	RetryAfter time.Duration

	// TLSCertFile and TLSKeyFile turn TLS on at both receivers. Default to none.
	TLSCertFile string
	TLSKeyFile  string
	// TLSClientCAFile asks clients for a certificate of one of these authorities.
	// Defaults to none.
	TLSClientCAFile string

	// ForwardOTLP is the base URL of an OTLP/HTTP backend that gets traces and
	// metrics as they came. Without it they are accepted, counted and dropped.
	// Defaults to none.
	ForwardOTLP string
	// ForwardHeaders go with everything forwarded, an API key say; the senders' own
	// tokens never do. Defaults to none.
	ForwardHeaders map[string]string
	// AllowAnonymous takes OTLP without a token as namespace default, for a
	// receiver that only this machine reaches. A wrong token is refused all the
	// same. Defaults to false.
	AllowAnonymous bool

	// LostAfter is how old a running task's heartbeat, and how long silent its
	// agent, must be for the task to be declared lost. Defaults to 60 s.
	LostAfter time.Duration
	// LostLetterAfter is how long a task stays lost before it becomes a dead
	// letter. Defaults to 15 min.
	LostLetterAfter time.Duration
	// LostCheckEvery is how often that is looked at. Defaults to 5 s.
	LostCheckEvery time.Duration
	// MaxTracked bounds the running tasks that are watched. Those beyond it are
	// counted and can't be declared lost. Defaults to 100 000.
	MaxTracked int
	// Thresholds classify the alert severity of tasks that become dead letters
	// because they were lost. Defaults to timeline.DefaultThresholds().
	Thresholds timeline.Thresholds

	// StopTimeout bounds Stop where its context doesn't. Defaults to 10 s.
	StopTimeout time.Duration
	// HeartbeatEvery is how often a waiting command connection gets an empty
	// line. Defaults to 10 s.
	HeartbeatEvery time.Duration

	// Logger receives what operators should know. Defaults to discarding it.
	Logger *slog.Logger
}

const (
	noAddr          = "-"
	frameOverhead   = 4 << 10 // room of a frame's envelope and the log's headers within a segment
	minLogBytes     = 1 << 20
	maxSegmentBytes = 1 << 30
)

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) withDefaults() Config {
	setDefault(&c.GRPCAddr, "127.0.0.1:4317")
	setDefault(&c.HTTPAddr, "127.0.0.1:4318")
	setDefault(&c.LogMaxBytes, 10<<30)
	setDefault(&c.LogSegmentBytes, min(64<<20, c.LogMaxBytes/4&^4095))
	setDefault(&c.SetAsideMaxBytes, 1<<30)
	setDefault(&c.MaxCompressedBytes, 8<<20)
	setDefault(&c.MaxRequestBytes, int(min(16<<20, max(1, c.LogSegmentBytes-frameOverhead))))
	setDefault(&c.MaxRecordBytes, 2<<20)
	setDefault(&c.MaxInFlightBytes, 64<<20)
	setDefault(&c.MaxConnections, 4096)
	setDefault(&c.MaxStreams, 128)
	setDefault(&c.MaxAgents, 2048)
	setDefault(&c.ReadTimeout, 30*time.Second)
	setDefault(&c.OverloadWait, 500*time.Millisecond)
	setDefault(&c.RetryAfter, time.Second)
	setDefault(&c.LostAfter, time.Minute)
	setDefault(&c.LostLetterAfter, 15*time.Minute)
	setDefault(&c.LostCheckEvery, 5*time.Second)
	setDefault(&c.MaxTracked, 100_000)
	setDefault(&c.StopTimeout, 10*time.Second)
	setDefault(&c.HeartbeatEvery, 10*time.Second)
	if c.Thresholds == nil {
		c.Thresholds = timeline.DefaultThresholds()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every setting that cannot work, all at once. Zero fields are
// taken with their defaults.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Dir == "" {
		bad("Dir is required")
	}
	for _, a := range [...]struct{ name, addr string }{{"GRPCAddr", c.GRPCAddr}, {"HTTPAddr", c.HTTPAddr}} {
		if a.addr == noAddr {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			bad("%s: want host:port or -: %w", a.name, err)
		}
	}
	if c.LogMaxBytes < minLogBytes {
		bad("LogMaxBytes is %d: want at least %d", c.LogMaxBytes, minLogBytes)
	}
	if c.LogSegmentBytes < 64<<10 || c.LogSegmentBytes > maxSegmentBytes || c.LogSegmentBytes > c.LogMaxBytes/2 {
		bad("LogSegmentBytes is %d: want 64 KiB to 1 GiB and at most half of LogMaxBytes", c.LogSegmentBytes)
	}
	if fit := c.LogSegmentBytes - frameOverhead; int64(c.MaxRequestBytes) > fit {
		bad("MaxRequestBytes is %d: want at most %d, what fits into a segment", c.MaxRequestBytes, fit)
	}
	if int64(c.MaxRequestBytes) > c.MaxInFlightBytes {
		bad("MaxInFlightBytes is %d: want at least MaxRequestBytes, %d", c.MaxInFlightBytes, c.MaxRequestBytes)
	}
	for _, f := range [...]struct {
		name  string
		value int64
	}{
		{"SetAsideMaxBytes", c.SetAsideMaxBytes}, {"MaxCompressedBytes", int64(c.MaxCompressedBytes)},
		{"MaxRequestBytes", int64(c.MaxRequestBytes)}, {"MaxRecordBytes", int64(c.MaxRecordBytes)},
		{"MaxConnections", int64(c.MaxConnections)}, {"MaxStreams", int64(c.MaxStreams)}, {"MaxAgents", int64(c.MaxAgents)},
		{"ReadTimeout", int64(c.ReadTimeout)}, {"OverloadWait", int64(c.OverloadWait)}, {"RetryAfter", int64(c.RetryAfter)},
		{"LostAfter", int64(c.LostAfter)}, {"LostLetterAfter", int64(c.LostLetterAfter)}, {"LostCheckEvery", int64(c.LostCheckEvery)},
		{"MaxTracked", int64(c.MaxTracked)}, {"StopTimeout", int64(c.StopTimeout)}, {"HeartbeatEvery", int64(c.HeartbeatEvery)},
	} {
		if f.value < 1 {
			bad("%s is %d: want more than 0", f.name, f.value)
		}
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		bad("TLSCertFile and TLSKeyFile: want both or none")
	}
	if c.TLSClientCAFile != "" && c.TLSCertFile == "" {
		bad("TLSClientCAFile: want TLSCertFile too")
	}
	if c.ForwardOTLP != "" {
		if u, err := url.Parse(c.ForwardOTLP); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			bad("ForwardOTLP %q: want http://host:port or https://host:port", c.ForwardOTLP)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("collector settings: %w", errors.Join(errs...))
	}
	return nil
}

// tlsConfig reads the certificates; nil where TLS is off.
func (c Config) tlsConfig() (*tls.Config, error) {
	if c.TLSCertFile == "" {
		return nil, nil
	}
	return loadTLS(c.TLSCertFile, c.TLSKeyFile, c.TLSClientCAFile)
}
