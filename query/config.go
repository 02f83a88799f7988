package query

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"
)

// Config is what operators set. Its zero value serves on the loopback.
type Config struct {
	// Addr is where to listen, host:port; port 0 takes a free one. Defaults to
	// 127.0.0.1:8080.
	Addr string
	// TLS serves HTTPS. Defaults to plain HTTP.
	TLS *tls.Config
	// SecureCookies marks session cookies Secure where a proxy in front speaks TLS.
	// Always so with TLS. Defaults to false.
	SecureCookies bool
	// Namespace is the one a token that is bound to none is taken to mean where the
	// request names none. Defaults to default.
	Namespace string

	// SessionKey seals sessions and cursors, at least 32 bytes; replicas share it.
	// Defaults to a random one: sessions and cursors end with the process.
	SessionKey []byte
	// SessionTTL is how long a browser's session lasts. Defaults to 12 h.
	SessionTTL time.Duration

	// QueryTimeout bounds the work on one request. Defaults to 10 s.
	QueryTimeout time.Duration
	// MaxBodyBytes bounds a request's body. Defaults to 1 MiB.
	MaxBodyBytes int
	// MaxHeaderBytes bounds a request's line and headers, 16 KiB at least. Defaults
	// to 40 KiB, so that any parameter of 10 kB arrives and is refused by name.
	MaxHeaderBytes int
	// MaxConnections bounds open connections. Defaults to 16 384.
	MaxConnections int
	// MaxConcurrent bounds requests in work; more answer 503. Defaults to 256.
	MaxConcurrent int
	// RatePerSecond and RateBurst bound the requests of one token; more answer 429.
	// Default to 200 and 400.
	RatePerSecond float64
	RateBurst     int

	// MaxStreams bounds open streams, MaxStreamsPerToken those of one token. Default
	// to 4 096 and 2 048.
	MaxStreams         int
	MaxStreamsPerToken int
	// StreamHeartbeat is how often a silent stream says that it lives. Defaults to
	// 15 s.
	StreamHeartbeat time.Duration
	// StreamInterval is the least time between two updates of one task on one
	// stream. Defaults to 250 ms.
	StreamInterval time.Duration
	// StreamWriteTimeout is how long one write to a stream may take before the
	// reader counts as gone. Defaults to 30 s.
	StreamWriteTimeout time.Duration
	// StreamPending bounds the tasks whose updates wait for one slow reader; past it
	// the oldest are dropped and the reader is told. Defaults to 256.
	StreamPending int

	// OverlayTTL is how long a written event is merged into answers at most while
	// the store does not show it. Defaults to 10 s.
	OverlayTTL time.Duration

	// HealthTTL is how long an answer about a namespace's health serves others who ask
	// the same. Defaults to 500 ms.
	HealthTTL time.Duration

	// MaxBulkItems bounds the dead letters of one bulk action. Defaults to 10 000.
	MaxBulkItems int
	// BulkInterval is how often bulk actions are looked for, their outcomes read and
	// their progress kept. Defaults to 2 s.
	BulkInterval time.Duration

	// Version and Commit are what the service says of itself. Version defaults to dev;
	// without Commit nothing is said of it.
	Version string
	Commit  string

	// UI is the web UI, index.html at its root. Without it / answers 404.
	UI fs.FS
}

func (c Config) withDefaults() Config {
	setDefault(&c.Addr, "127.0.0.1:8080")
	setDefault(&c.Namespace, "default")
	setDefault(&c.Version, "dev")
	setDefault(&c.SessionTTL, 12*time.Hour)
	setDefault(&c.QueryTimeout, 10*time.Second)
	setDefault(&c.MaxBodyBytes, 1<<20)
	setDefault(&c.MaxHeaderBytes, 40<<10)
	setDefault(&c.MaxConnections, 16_384)
	setDefault(&c.MaxConcurrent, 256)
	setDefault(&c.RatePerSecond, 200)
	setDefault(&c.RateBurst, 400)
	setDefault(&c.MaxStreams, 4_096)
	setDefault(&c.MaxStreamsPerToken, 2_048)
	setDefault(&c.StreamHeartbeat, 15*time.Second)
	setDefault(&c.StreamInterval, 250*time.Millisecond)
	setDefault(&c.StreamWriteTimeout, 30*time.Second)
	setDefault(&c.StreamPending, 256)
	setDefault(&c.OverlayTTL, 10*time.Second)
	setDefault(&c.HealthTTL, 500*time.Millisecond)
	setDefault(&c.MaxBulkItems, 10_000)
	setDefault(&c.BulkInterval, 2*time.Second)
	if len(c.SessionKey) == 0 {
		c.SessionKey = make([]byte, 32)
		_, _ = rand.Read(c.SessionKey) // never fails: crypto/rand aborts the process instead
	}
	if c.TLS != nil {
		c.SecureCookies = true
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports everything that is wrong with the settings, defaults filled
// in.
func (c Config) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		errs = append(errs, fmt.Errorf("addr %q: want host:port: %w", c.Addr, err))
	}
	if len(c.SessionKey) < 32 {
		errs = append(errs, fmt.Errorf("session key: %d bytes, want at least 32", len(c.SessionKey)))
	}
	if c.MaxHeaderBytes < 16<<10 {
		errs = append(errs, fmt.Errorf("max header bytes: %d, want at least %d", c.MaxHeaderBytes, 16<<10))
	}
	for _, f := range [...]struct {
		name string
		ok   bool
	}{
		{"session ttl", c.SessionTTL > 0}, {"query timeout", c.QueryTimeout > 0}, {"max body bytes", c.MaxBodyBytes > 0},
		{"max connections", c.MaxConnections > 0}, {"max concurrent", c.MaxConcurrent > 0},
		{"rate per second", c.RatePerSecond > 0}, {"rate burst", c.RateBurst > 0},
		{"max streams", c.MaxStreams > 0}, {"max streams per token", c.MaxStreamsPerToken > 0},
		{"stream heartbeat", c.StreamHeartbeat > 0}, {"stream interval", c.StreamInterval > 0},
		{"stream write timeout", c.StreamWriteTimeout > 0}, {"stream pending", c.StreamPending > 0},
		{"overlay ttl", c.OverlayTTL > 0}, {"health ttl", c.HealthTTL > 0}, {"max bulk items", c.MaxBulkItems > 0}, {"bulk interval", c.BulkInterval > 0},
	} {
		if !f.ok {
			errs = append(errs, fmt.Errorf("%s: must be more than zero", f.name))
		}
	}
	return errors.Join(errs...)
}

// subkey derives the key of one purpose from the session key.
func (c Config) subkey(purpose string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, c.SessionKey, nil, "tasktrail/query/"+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of %s: %w", purpose, err)
	}
	return key, nil
}
