package alerting

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/timeline"
)

// Config says where alerts are kept, what is loud and where calls go.
type Config struct {
	// Dir holds the state; one process at a time uses it. Needed.
	Dir string
	// RulesFile is a YAML file with rules, severities, channels and the watchdog; it
	// is read again when it changes. Defaults to none.
	RulesFile string
	// Channels are where alerts go, beside Redis and the file's. Defaults to none.
	Channels []channel.Config
	// AllowPrivate lets the channels that operators set lead to private addresses where
	// they ask for it. Defaults to false.
	AllowPrivate bool
	// BaseURL is where the UI is reached, for links. Defaults to none.
	BaseURL string
	// Thresholds say from which amount on a failed task is critical, where no file
	// does. Defaults to timeline.DefaultThresholds.
	Thresholds timeline.Thresholds
	// Holder names this collector among those of the fleet. Defaults to a name made
	// from the directory, kept in it.
	Holder string

	// RecoveryWait is how long after its first dead letter a task that waits for its
	// provider's breaker is given to recover before it calls. Defaults to 15 min.
	RecoveryWait time.Duration
	// RecoveryRuns is how many recoveries a task has before it calls. Defaults to 3.
	RecoveryRuns int
	// BreakerExpiry is how long after its open-until a breaker without news counts as
	// gone with its process. Defaults to 5 min.
	BreakerExpiry time.Duration
	// EvaluateEvery is how often rules are evaluated. Defaults to 5 s.
	EvaluateEvery time.Duration
	// FailingAfter is for how long a channel may fail before the others tell of it.
	// Defaults to 5 min.
	FailingAfter time.Duration

	// MaxTasks bounds the tasks whose failures are followed, MaxAlerts the alerts
	// that are kept: the ones that are over, and then the oldest, go first. Default
	// to 100 000 each.
	MaxTasks  int
	MaxAlerts int
	// KeepResolved is how long a resolved alert is kept. Defaults to 7 days.
	KeepResolved time.Duration
	// MaxQueue bounds the undelivered notifications of one channel; the oldest gives
	// way. Defaults to 10 000.
	MaxQueue int
	// MaxLog bounds the deliveries that are remembered of one channel. Defaults to
	// 500.
	MaxLog int
	// MaxAge is how long delivery of a notification is tried. Defaults to 72 h.
	MaxAge time.Duration

	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Thresholds == nil {
		c.Thresholds = timeline.DefaultThresholds()
	}
	for _, d := range [...]struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.RecoveryWait, 15 * time.Minute}, {&c.BreakerExpiry, 5 * time.Minute}, {&c.EvaluateEvery, 5 * time.Second},
		{&c.FailingAfter, 5 * time.Minute}, {&c.KeepResolved, 7 * 24 * time.Hour}, {&c.MaxAge, 72 * time.Hour},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range [...]struct {
		field *int
		value int
	}{{&c.RecoveryRuns, 3}, {&c.MaxTasks, 100_000}, {&c.MaxAlerts, 100_000}, {&c.MaxQueue, 10_000}, {&c.MaxLog, 500}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
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
		{"evaluate_every", int64(c.EvaluateEvery)}, {"failing_after", int64(c.FailingAfter)},
		{"max_tasks", int64(c.MaxTasks)}, {"max_alerts", int64(c.MaxAlerts)}, {"keep_resolved", int64(c.KeepResolved)},
		{"max_queue", int64(c.MaxQueue)}, {"max_log", int64(c.MaxLog)}, {"max_age", int64(c.MaxAge)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s: must not be negative", f.name))
		}
	}
	if u, err := url.Parse(c.BaseURL); c.BaseURL != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "") {
		errs = append(errs, errors.New("base_url: want http://host or https://host"))
	}
	return errors.Join(append(errs, channelFaults(c.Channels))...)
}

func channelFaults(channels []channel.Config) error {
	var errs []error
	names := map[string]bool{RedisChannel: true}
	for i, ch := range channels {
		where := fmt.Sprintf("channels[%d] %.64q", i, ch.Name)
		if ch.Name != "" && names[ch.Name] {
			errs = append(errs, fmt.Errorf("%s: the name is taken", where))
		}
		names[ch.Name] = true
		if err := ch.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
	}
	return errors.Join(errs...)
}
