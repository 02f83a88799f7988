// Package app is the only room where the parts meet: it reads the settings,
// makes each part, hands it what satisfies the interfaces it declares, starts
// them in order and stops them in reverse. It decides nothing about tasks; what
// a part does is that part's business.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tasktrail/tasktrail/alerting"
	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/query"
	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/store"
)

// DrainTimeout bounds how long stopping may take.
const DrainTimeout = 10 * time.Second

// Names of the files of the data directory that other processes read.
const (
	AdminTokenFile = "admin-token"
	KeysFile       = "keys.json"
	AddressesFile  = "addresses.json"
)

// Role says which parts a process runs.
type Role string

// The roles.
const (
	// RoleUp is everything but the agents, with an engine and a broker of its own
	// where no servers are named.
	RoleUp        Role = "up"
	RoleCollector Role = "collector"
	RoleQuery     Role = "query"
)

// Addresses are where a running process can be reached; empty where it does not
// listen.
type Addresses struct {
	HTTP       string `json:"http,omitempty"`
	HTTPS      bool   `json:"https,omitempty"`
	OTLPHTTP   string `json:"otlp_http,omitempty"`
	OTLPGRPC   string `json:"otlp_grpc,omitempty"`
	ClickHouse string `json:"clickhouse,omitempty"`
	Redis      string `json:"redis,omitempty"`
}

// App is one running process. New starts nothing; Start does; Stop undoes what
// Start did, in reverse, also after a Start that failed half way.
type App struct {
	set     Settings
	role    Role
	version string
	log     *slog.Logger
	undo    cleanups
	failed  chan error
	addrs   Addresses
	// commandKey authenticates commands in Redis, and what follows from it seals.
	commandKey string
	// embeddedRedis: no other process shares the broker.
	embeddedRedis bool

	metrics   *prometheus.Registry
	auth      *auth.Authenticator
	keys      *auth.KeyFile
	store     *store.Store
	live      *live.Live
	alerting  *alerting.Alerting
	past      *past
	collector *collector.Collector
	query     *query.Server
	// events takes what operators do: the collector of this process, or one elsewhere.
	events query.EventWriter
}

// New checks the settings.
func New(set Settings, role Role, version string, log *slog.Logger) (*App, error) {
	if err := set.Validate(); err != nil {
		return nil, err
	}
	if role != RoleUp {
		var errs []error
		if set.ClickHouseDSN == "" {
			errs = append(errs, fmt.Errorf("clickhouse_dsn: %s needs a ClickHouse server; tasktrail up brings its own", role))
		}
		if set.RedisURL == "" {
			errs = append(errs, fmt.Errorf("redis_url: %s needs a Redis server; tasktrail up brings its own", role))
		}
		if role == RoleQuery && set.Token == "" {
			errs = append(errs, errors.New("token: query needs a token with the scope ingest for the collector"))
		}
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
	}
	a := &App{set: set, role: role, version: version, log: log, failed: make(chan error, 1), metrics: prometheus.NewRegistry()}
	a.undo.log = log
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return a, nil
}

// Start starts the parts: what keeps data first, what takes data last, so that
// nothing is accepted before it can be kept.
func (a *App) Start(ctx context.Context) error {
	if err := preflight(ctx, &a.set, a.role); err != nil {
		return err
	}
	steps := []struct {
		name string
		run  func(context.Context) error
		in   bool
	}{
		{"data directory", a.startDataDir, true},
		{"authentication", a.startAuth, true},
		{"clickhouse", a.startClickHouse, true},
		{"redis", a.startRedis, true},
		{"live", a.startLive, true},
		{"alerting", a.startAlerting, a.role != RoleQuery},
		{"collector", a.startCollector, a.role != RoleQuery},
		{"re-enqueue URLs", a.startRequeue, a.role != RoleQuery},
		{"reconciliation", a.startReconcile, a.role != RoleQuery},
		{"operators' events", a.startEvents, true},
		{"query", a.startQuery, a.role != RoleCollector},
		{"sharing of keys", a.startKeySync, true},
		{"addresses", a.writeAddresses, true},
	}
	for _, s := range steps {
		if !s.in {
			continue
		}
		began := time.Now()
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("start %s: %w", s.name, err)
		}
		a.log.Debug("started", "part", s.name, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// Stop drains and stops what was started, within the time of ctx.
func (a *App) Stop(ctx context.Context) error { return a.undo.run(ctx) }

// Reload reads the file of alert rules again; what was in force stays in force
// where it is not as it should be.
func (a *App) Reload() error {
	if a.alerting == nil {
		return nil
	}
	return a.alerting.Reload()
}

// Failed delivers the error of a part that cannot go on.
func (a *App) Failed() <-chan error { return a.failed }

// Addresses are where the process listens, after Start.
func (a *App) Addresses() Addresses { return a.addrs }

func (a *App) startDataDir(context.Context) error {
	lock, err := takeDataDir(a.set.DataDir)
	if err != nil {
		return err
	}
	a.undo.pushFunc("data directory", lock.Unlock)
	return nil
}

func (a *App) startAuth(context.Context) error {
	token := a.set.AdminToken
	if token == "" && a.role == RoleUp {
		made := false
		var err error
		if token, made, err = secretFile(a.set.DataDir, AdminTokenFile, ""); err != nil {
			return err
		}
		if made {
			fmt.Fprintf(os.Stderr, "\n  admin token: %s\n  kept in %s\n\n", token, filepath.Join(a.set.DataDir, AdminTokenFile))
		}
	}
	keys, err := auth.OpenKeyFile(filepath.Join(a.set.DataDir, KeysFile))
	if err != nil {
		return err
	}
	a.keys = keys
	a.auth, err = auth.New(auth.Config{
		AdminToken: token, Keys: keys,
		JWT: auth.JWTConfig{Secret: a.set.JWTSecret, JWKSURL: a.set.JWKSURL, Issuer: a.set.JWTIssuer, Audience: a.set.JWTAudience},
	})
	return err
}

// writeAddresses leaves the addresses where the demonstration, the command line
// and tests find them; with port 0 nobody else knows them.
func (a *App) writeAddresses(context.Context) error {
	b, err := json.MarshalIndent(a.addrs, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the addresses: %w", err)
	}
	path := filepath.Join(a.set.DataDir, AddressesFile)
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Connection reads how to reach the process that runs on a data directory: its
// addresses and the admin token.
func Connection(dataDir string) (Addresses, string, error) {
	var addrs Addresses
	b, err := os.ReadFile(filepath.Join(dataDir, AddressesFile))
	if err != nil {
		return addrs, "", fmt.Errorf("is tasktrail up running on %s? %w", dataDir, err)
	}
	if err := json.Unmarshal(b, &addrs); err != nil {
		return addrs, "", fmt.Errorf("read the addresses: %w", err)
	}
	token, _, err := secretFile(dataDir, AdminTokenFile, "")
	return addrs, token, err
}
