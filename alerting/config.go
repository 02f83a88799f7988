package alerting

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Config says where alerts are kept, what is loud and where calls go.
type Config struct {
	// Dir holds the state; one process at a time uses it. Needed.
	Dir string `yaml:"-"`
	// Thresholds say from which amount on a failed task is critical. Defaults to
	// timeline.DefaultThresholds.
	Thresholds timeline.Thresholds `yaml:"thresholds,omitempty"`
	// Channels are where alerts go, beside Redis. Defaults to none.
	Channels []ChannelConfig `yaml:"channels,omitempty"`
	// RecoveryWait is how long after its first dead letter a task that waits for its
	// provider's breaker is given to recover before it calls. Defaults to 15 min.
	RecoveryWait time.Duration `yaml:"recovery_wait,omitempty"`
	// RecoveryRuns is how many recoveries a task has before it calls. Defaults to 3.
	RecoveryRuns int `yaml:"recovery_runs,omitempty"`
	// BreakerExpiry is how long after its open-until a breaker without news counts as
	// gone with its process. Defaults to 5 min.
	BreakerExpiry time.Duration `yaml:"breaker_expiry,omitempty"`

	// MaxTasks bounds the tasks whose failures are followed, MaxAlerts the alerts
	// that are kept: the ones that are over, and then the oldest, go first. Default
	// to 100 000 each.
	MaxTasks  int `yaml:"max_tasks,omitempty"`
	MaxAlerts int `yaml:"max_alerts,omitempty"`
	// KeepResolved is how long a resolved alert is kept. Defaults to 7 days.
	KeepResolved time.Duration `yaml:"keep_resolved,omitempty"`
	// MaxQueue bounds the undelivered notifications of one channel; the oldest gives
	// way. Defaults to 10 000.
	MaxQueue int `yaml:"max_queue,omitempty"`
	// MaxAge is how long delivery of a notification is tried. Defaults to 72 h.
	MaxAge time.Duration `yaml:"max_age,omitempty"`

	// Logger defaults to slog.Default().
	Logger *slog.Logger `yaml:"-"`
}

// ChannelConfig is one channel.
type ChannelConfig struct {
	// Name is unique; its queue outlives a restart under it.
	Name string `yaml:"name"`
	// Type is webhook.
	Type string `yaml:"type"`
	// URL is called, https:// or http://.
	URL string `yaml:"url"`
	// Secrets sign each call after Standard Webhooks: whsec_ and base64. All of them
	// sign, so that a receiver can change from one to the next; two at most.
	Secrets []string `yaml:"secrets"`
	// MinSeverity leaves out what is less loud: medium, high or critical. Defaults to
	// medium.
	MinSeverity string `yaml:"min_severity,omitempty"`
	// AllowPrivate lets the URL lead to a loopback, private or link-local address.
	// Defaults to false.
	AllowPrivate bool `yaml:"allow_private,omitempty"`
	// Timeout bounds one call. Defaults to 10 s.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// Parallel bounds the calls at the same time. Calls about one alert are never
	// made at the same time. Defaults to 4.
	Parallel int `yaml:"parallel,omitempty"`
}

func (c Config) withDefaults() Config {
	if c.Thresholds == nil {
		c.Thresholds = timeline.DefaultThresholds()
	}
	for _, d := range [...]struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.RecoveryWait, 15 * time.Minute}, {&c.BreakerExpiry, 5 * time.Minute},
		{&c.KeepResolved, 7 * 24 * time.Hour}, {&c.MaxAge, 72 * time.Hour},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range [...]struct {
		field *int
		value int
	}{{&c.RecoveryRuns, 3}, {&c.MaxTasks, 100_000}, {&c.MaxAlerts, 100_000}, {&c.MaxQueue, 10_000}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	channels := make([]ChannelConfig, len(c.Channels))
	for i, ch := range c.Channels {
		channels[i] = ch.withDefaults()
	}
	c.Channels = channels
	return c
}

func (c ChannelConfig) withDefaults() ChannelConfig {
	if c.MinSeverity == "" {
		c.MinSeverity = timeline.AlertMedium.String()
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Parallel == 0 {
		c.Parallel = 4
	}
	return c
}

// Validate reports every fault of the configuration at once. It never repeats a
// secret.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("dir: must not be empty"))
	}
	for _, f := range [...]struct {
		name  string
		value int64
	}{
		{"recovery_wait", int64(c.RecoveryWait)}, {"recovery_runs", int64(c.RecoveryRuns)}, {"breaker_expiry", int64(c.BreakerExpiry)},
		{"max_tasks", int64(c.MaxTasks)}, {"max_alerts", int64(c.MaxAlerts)}, {"keep_resolved", int64(c.KeepResolved)},
		{"max_queue", int64(c.MaxQueue)}, {"max_age", int64(c.MaxAge)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s: must not be negative", f.name))
		}
	}
	names := map[string]bool{RedisChannel: true}
	for i, ch := range c.Channels {
		where := fmt.Sprintf("channels[%d] %q", i, ch.Name)
		if ch.Name == "" {
			errs = append(errs, fmt.Errorf("channels[%d].name: must not be empty", i))
		} else if names[ch.Name] {
			errs = append(errs, fmt.Errorf("%s: the name is taken", where))
		}
		names[ch.Name] = true
		for _, err := range ch.faults() {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
	}
	return errors.Join(errs...)
}

func (c ChannelConfig) faults() []error {
	var errs []error
	if c.Type != "webhook" {
		errs = append(errs, fmt.Errorf("type: %q, want webhook", c.Type))
	}
	if u, err := url.Parse(c.URL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		errs = append(errs, errors.New("url: want https://host/path without user or password"))
	}
	switch len(c.Secrets) {
	case 1, 2:
	default:
		errs = append(errs, fmt.Errorf("secrets: %d of them, want one, or two while they are changed", len(c.Secrets)))
	}
	for i, s := range c.Secrets {
		if _, err := decodeSecret(s); err != nil {
			errs = append(errs, fmt.Errorf("secrets[%d]: %w", i, err))
		}
	}
	if c.MinSeverity != "" {
		if _, ok := timeline.ParseAlertSeverity(c.MinSeverity); !ok {
			errs = append(errs, fmt.Errorf("min_severity: %q, want medium, high or critical", c.MinSeverity))
		}
	}
	if c.Timeout < 0 || c.Timeout > time.Minute {
		errs = append(errs, errors.New("timeout: want at most 1m"))
	}
	if c.Parallel < 0 || c.Parallel > 64 {
		errs = append(errs, errors.New("parallel: want 1 to 64"))
	}
	return errs
}

// target names where a channel leads, without saying it: a channel that was
// disabled is tried again when it leads elsewhere.
func (c ChannelConfig) target() string {
	h := sha256.Sum256([]byte(c.URL))
	return base64.RawStdEncoding.EncodeToString(h[:12])
}

// decodeSecret reads a Standard Webhooks secret: 24 to 64 bytes as base64, with
// or without the prefix whsec_.
func decodeSecret(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
	if err != nil {
		return nil, errors.New("want whsec_ and base64")
	}
	if len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("%d bytes, want 24 to 64", len(key))
	}
	return key, nil
}
