package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/tasktrail/tasktrail/internal/filelock"
	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/store"
	engine "github.com/tasktrail/tasktrail/store/embedded"
)

// Finding is what a check of the surroundings came to.
type Finding struct {
	// Check is what was looked at: data_dir, clickhouse, redis …
	Check string `json:"check"`
	// Status is ok, warning or fault.
	Status string `json:"status"`
	// Text says in a sentence what was found, and what to do about it.
	Text string `json:"text"`
}

// The statuses of findings.
const (
	FindingOK      = "ok"
	FindingWarning = "warning"
	FindingFault   = "fault"
)

// maxSkew is how far a clock may be off before events look out of order.
const maxSkew = time.Second

// Doctor looks at everything a role needs and tells what it finds, faults or
// none. It changes nothing.
func Doctor(ctx context.Context, s Settings, role Role) []Finding {
	d := &doctor{set: s, role: role}
	running := d.dataDir()
	if !running {
		for _, l := range s.listens(role) {
			d.say(l.key, checkPort(ctx, l), l.addr+" is free")
		}
		if role == RoleUp && s.ClickHouseDSN == "" {
			d.say("clickhouse_addr", checkPort(ctx, listened{"clickhouse_addr", s.ClickHouseAddr}), s.ClickHouseAddr+" is free")
		}
	}
	d.clickHouse(ctx, running)
	d.redis(ctx)
	if role == RoleQuery {
		d.collector(ctx)
	}
	d.exposure()
	return d.found
}

type doctor struct {
	set   Settings
	role  Role
	found []Finding
}

func (d *doctor) say(check string, err error, otherwise string) {
	if err != nil {
		d.found = append(d.found, Finding{check, FindingFault, err.Error()})
		return
	}
	d.found = append(d.found, Finding{check, FindingOK, otherwise})
}

func (d *doctor) warn(check, format string, args ...any) {
	d.found = append(d.found, Finding{check, FindingWarning, fmt.Sprintf(format, args...)})
}

// dataDir reports whether a process runs on the data directory.
func (d *doctor) dataDir() bool {
	dir := d.set.DataDir
	if err := checkDataDir(dir); err != nil {
		d.say("data_dir", err, "")
		return false
	}
	path := filepath.Join(dir, lockFile)
	if _, err := os.Stat(path); err == nil {
		lock, err := filelock.Try(path)
		if errors.Is(err, filelock.ErrHeld) {
			d.say("data_dir", nil, fmt.Sprintf("%s is %v: what it listens on is not looked at", dir, err))
			return true
		}
		if err != nil {
			d.say("data_dir", err, "")
			return false
		}
		lock.Unlock()
	}
	text := dir + " can be used"
	if free, known := freeBytes(existingParent(dir)); known {
		text = fmt.Sprintf("%s, %.1f GiB are free", text, float64(free)/(1<<30))
		if d.role != RoleQuery && free < uint64(d.set.LogMaxBytes) {
			d.warn("data_dir", "%.1f GiB are free on the disk of %s, and log_max_bytes lets %.1f GiB of accepted events wait there: make room, or lower it",
				float64(free)/(1<<30), dir, float64(d.set.LogMaxBytes)/(1<<30))
			return false
		}
	}
	d.say("data_dir", nil, text)
	return false
}

func (d *doctor) clickHouse(ctx context.Context, running bool) {
	dsn := d.set.ClickHouseDSN
	if dsn == "" {
		if d.role != RoleUp {
			d.say("clickhouse", fmt.Errorf("clickhouse_dsn: %s needs a ClickHouse server; tasktrail up brings its own", d.role), "")
			return
		}
		path, err := engine.FindLibrary()
		d.say("engine library", err, path)
		if !running {
			return
		}
		addrs, _, err := Connection(d.set.DataDir)
		if err == nil {
			var creds engine.Credentials
			if creds, err = engine.LoadCredentials(filepath.Join(d.set.DataDir, "clickhouse")); err == nil {
				dsn = creds.DSN(addrs.ClickHouse)
			}
		}
		if err != nil {
			d.say("clickhouse", err, "")
			return
		}
	}
	st, err := store.Open(ctx, store.Config{DSN: dsn, Cluster: d.set.ClickHouseCluster})
	if err != nil {
		d.say("clickhouse", err, "")
		return
	}
	defer func() { _ = st.Close() }()
	in, err := st.Inspect(ctx)
	if err != nil {
		d.say("clickhouse", fmt.Errorf("clickhouse_dsn: %w", err), "")
		return
	}
	if fault := in.Fault(); fault != "" {
		d.say("clickhouse", errors.New(fault), "")
		return
	}
	text := fmt.Sprintf("version %s, schema %d", in.Version, in.Schema)
	if in.Schema == 0 {
		text = fmt.Sprintf("version %s, without our tables yet: a collector or tasktrail migrate makes them", in.Version)
	}
	d.say("clickhouse", nil, text)
	d.skew("clickhouse clock", in.Skew)
}

func (d *doctor) redis(ctx context.Context) {
	if d.set.RedisURL == "" {
		if d.role != RoleUp {
			d.say("redis", fmt.Errorf("redis_url: %s needs a Redis server; tasktrail up brings its own", d.role), "")
			return
		}
		d.say("redis", nil, "the embedded broker, in the process itself")
		return
	}
	l, err := live.Open(live.Config{URL: d.set.RedisURL, CommandKey: make([]byte, 32)})
	if err != nil {
		d.say("redis", fmt.Errorf("redis_url: %w", err), "")
		return
	}
	defer func() { _ = l.Close() }()
	in, err := l.Inspect(ctx)
	if err != nil {
		d.say("redis", err, "")
		return
	}
	if doubt := in.Doubt(); doubt != "" {
		d.warn("redis", "%s", doubt)
	} else {
		d.say("redis", nil, "version "+in.Version)
	}
	d.skew("redis clock", in.Skew)
}

func (d *doctor) skew(check string, off time.Duration) {
	if off.Abs() > maxSkew {
		d.warn(check, "the clock is %v ahead of this machine's: let both follow an NTP server, else waits and events look out of order", off)
		return
	}
	d.say(check, nil, fmt.Sprintf("%v from this machine's", off))
}

// collector asks the collector that operators' events go to.
func (d *doctor) collector(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.set.CollectorURL+"/readyz", nil)
	if err != nil {
		d.say("collector", fmt.Errorf("collector_url: %w", err), "")
		return
	}
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		d.say("collector", fmt.Errorf("collector_url: %w: start the collector, or set the address it listens on", err), "")
		return
	}
	_ = resp.Body.Close()
	d.say("collector", nil, "answers at "+d.set.CollectorURL)
}

// exposure looks at what others may reach.
func (d *doctor) exposure() {
	for _, l := range d.set.listens(d.role) {
		if !isLoopback(l.addr) && d.set.TLSCert == "" {
			d.warn(l.key, "%s is reachable from elsewhere without TLS: set tls_cert and tls_key, or put a proxy with TLS before it", l.addr)
		}
	}
	if d.set.WebhookURL != "" && d.set.WebhookSecret == "" {
		d.warn("webhook", "alerts to webhook_url are not signed: set webhook_secret")
	}
}
