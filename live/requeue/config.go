package requeue

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tasktrail/tasktrail/internal/netguard"
)

// Config says how to call and how patiently.
type Config struct {
	// Source names this collector among those that serve the same queues, the same
	// after a restart. Needed.
	Source string
	// Allow are the ranges of addresses that are not public and may be called all the
	// same. Defaults to none.
	Allow netguard.Guard
	// Timeout bounds one call. Defaults to 10 s.
	Timeout time.Duration
	// Tries is how often a retry is posted in a row, Backoff the wait after the first
	// of them, which doubles. What was not taken comes again when the command is
	// offered again. Default to 4 and 500 ms.
	Tries   int
	Backoff time.Duration
	// GiveUpAfter: a retry that was asked for longer ago than this and is still not
	// taken has failed. Defaults to 24 h.
	GiveUpAfter time.Duration
	// RefreshEvery is how often the registered URLs are read. Defaults to 2 s.
	RefreshEvery time.Duration
	// Parallel is how many calls one queue makes at once. Defaults to 4.
	Parallel int
	// MaxTargets bounds the queues that are served. Defaults to 1000.
	MaxTargets int
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	for _, d := range [...]struct {
		field *time.Duration
		value time.Duration
	}{{&c.Timeout, 10 * time.Second}, {&c.Backoff, 500 * time.Millisecond}, {&c.GiveUpAfter, 24 * time.Hour}, {&c.RefreshEvery, 2 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range [...]struct {
		field *int
		value int
	}{{&c.Tries, 4}, {&c.Parallel, 4}, {&c.MaxTargets, 1000}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.Source == "" {
		errs = append(errs, errors.New("Source: must not be empty"))
	}
	for _, f := range [...]struct {
		name  string
		value int64
	}{
		{"Timeout", int64(c.Timeout)}, {"Backoff", int64(c.Backoff)}, {"GiveUpAfter", int64(c.GiveUpAfter)}, {"RefreshEvery", int64(c.RefreshEvery)},
		{"Tries", int64(c.Tries)}, {"Parallel", int64(c.Parallel)}, {"MaxTargets", int64(c.MaxTargets)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s: must not be negative", f.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("requeue: %w", err)
	}
	return nil
}
