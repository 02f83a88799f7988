package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Config is which ClickHouse is used and how.
type Config struct {
	// DSN is the server's HTTP address with user, password and database, such as
	// http://user:password@127.0.0.1:8123/tasktrail. There is no default.
	DSN string
	// ReaderDSN is the address for the readers, of a user that may only read.
	// Defaults to DSN.
	ReaderDSN string
	// Readers is how many reads run at once. Defaults to 16.
	Readers int
	// ReadTimeout bounds a read whose context sets no earlier end. Defaults to 10 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds one insert; it is tried again afterwards, by its caller.
	// Defaults to 60 s.
	WriteTimeout time.Duration
	// Retention is how long everything is kept, counted from its ingestion; Migrate
	// applies it. Whole seconds, an hour at least. Defaults to 90 days.
	Retention time.Duration
	// Cluster names the cluster, as the server's remote_servers do, that tables are
	// spread over: replicated ones behind distributed ones. The servers need the
	// macros shard and replica. Defaults to none: one server.
	Cluster string
	// Logger takes what is worth knowing and no error. Defaults to slog.Default.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.ReaderDSN == "" {
		c.ReaderDSN = c.DSN
	}
	if c.Readers == 0 {
		c.Readers = 16
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 10 * time.Second
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = time.Minute
	}
	if c.Retention == 0 {
		c.Retention = 90 * 24 * time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Validate reports every fault of the configuration.
func (c Config) Validate() error {
	var faults []error
	for _, d := range [...]struct{ name, dsn string }{{"DSN", c.DSN}, {"ReaderDSN", c.ReaderDSN}} {
		if _, err := parseDSN(d.dsn); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", d.name, err))
		}
	}
	if c.Retention < time.Hour {
		faults = append(faults, fmt.Errorf("Retention is %v, want 1h or more", c.Retention))
	}
	if strings.ContainsFunc(c.Cluster, func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		faults = append(faults, fmt.Errorf("Cluster %q: want letters, digits, and _ - .", c.Cluster))
	}
	if c.Readers < 0 {
		faults = append(faults, fmt.Errorf("Readers is %d, want 1 or more", c.Readers))
	}
	if c.ReadTimeout < 0 || c.WriteTimeout < 0 {
		faults = append(faults, errors.New("a timeout must not be negative"))
	}
	return errors.Join(faults...)
}

// parseDSN takes an HTTP address alone: what is inserted is prepared in the
// Native format, which clickhouse-go passes on over HTTP and not over TCP. An
// error never shows the password.
func parseDSN(dsn string) (*clickhouse.Options, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errors.New("not a URL: want http://user:password@host:8123/database")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("scheme %q: want http or https, the server's HTTP port (8123 or 8443)", u.Scheme)
	}
	if u.Host == "" {
		return nil, errors.New("no host: want http://user:password@host:8123/database")
	}
	opt, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		// Its text may quote the address.
		return nil, errors.New("the parameters of the address are not those of clickhouse-go")
	}
	return opt, nil
}

// Store is a ClickHouse database that holds timelines. It is safe for concurrent
// use.
type Store struct {
	cfg    Config
	write  driver.Conn
	read   driver.Conn
	writer writer

	// These make the next read quicker.
	slots     slotSums
	edges     edges
	windows   windows
	letters   aged[letterDepth]
	contested aged[[]string] // by namespace and window
	oldOpen   aged[oldOpen]
	waiting   aged[waiting]

	// rolled is when slots were last looked for that want rolling up, mended when
	// dead letters that are none were, mendedOpen when open tasks that ended were.
	rolled, mended, mendedOpen atomic.Int64
	// closing ends with Close, which waits for what runs in the background.
	closing    context.Context //nolint:containedctx // the store's own life
	close      context.CancelFunc
	mu         sync.Mutex // no work is added once closing is done
	background sync.WaitGroup
}

// Open prepares the connections; it reaches the server with the first use. ctx
// is not kept.
func Open(_ context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("ClickHouse: %w", err)
	}
	s := &Store{cfg: cfg}
	s.closing, s.close = context.WithCancel(context.Background())
	var err error
	if s.write, err = open(cfg.DSN, 4, cfg.WriteTimeout); err != nil {
		return nil, err
	}
	if s.read, err = open(cfg.ReaderDSN, cfg.Readers, 0); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	return s, nil
}

func open(dsn string, conns int, timeout time.Duration) (driver.Conn, error) {
	opt, err := parseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse: %w", err)
	}
	opt.MaxOpenConns, opt.MaxIdleConns = conns, conns
	opt.ConnMaxLifetime = time.Hour
	opt.DialTimeout = 5 * time.Second
	if timeout > 0 {
		opt.ReadTimeout = timeout
	}
	conn, err := clickhouse.Open(opt)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse: %w", err)
	}
	return conn, nil
}

// Close ends the connections, and what runs beside reads and writes.
func (s *Store) Close() error {
	s.mu.Lock()
	s.close()
	s.mu.Unlock()
	s.background.Wait()
	return errors.Join(s.write.Close(), s.read.Close())
}

// Ping reports whether the server answers the readers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := s.reading(ctx, pointRead)
	defer cancel()
	var one uint8
	if err := s.read.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("ping ClickHouse: %w", err)
	}
	return nil
}

// readKind says how much work a read may be.
type readKind uint8

const (
	// pointRead touches a few granules: a second thread costs more than it gives.
	pointRead readKind = iota
	scanRead
)

// reading bounds a read in time, here and in the server: the server is told the
// same deadline, because it does not notice that nobody waits.
func (s *Store) reading(ctx context.Context, kind readKind) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadTimeout)
	settings := s.clusterSettings()
	if kind == pointRead {
		settings["max_threads"] = 1
	}
	// clickhouse-go adds max_execution_time from the deadline.
	return clickhouse.Context(ctx, clickhouse.WithSettings(settings)), cancel
}

// clusterSettings make one query of many servers' parts: what is inserted has
// arrived at its shard when the answer comes, and a subquery is asked once for all
// shards.
func (s *Store) clusterSettings() clickhouse.Settings {
	if s.cfg.Cluster == "" {
		return clickhouse.Settings{}
	}
	return clickhouse.Settings{"distributed_foreground_insert": 1, "distributed_product_mode": "global", "prefer_global_in_and_join": 1}
}

// writing gives what the store itself writes or asks as the writer its settings.
func (s *Store) writing(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(s.clusterSettings()))
}

// lines joins the parts of a statement.
func lines(parts ...string) string { return strings.Join(parts, "\n") }
