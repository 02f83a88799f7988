package live

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says which Redis to use and how patient to be with it. Only URL is
// needed.
type Config struct {
	// URL is redis://user:password@host:port/db, rediss:// for TLS, unix:// for a
	// socket. Further nodes stand as addr=host:port parameters, a Sentinel's master
	// as master_name=…, a cluster as cluster=true; beside them go-redis's own
	// parameters are understood.
	URL string
	// SentinelUsername and SentinelPassword sign in at the Sentinels, where these
	// ask for it; the URL's sign in at the master.
	SentinelUsername string
	SentinelPassword string
	// TLS replaces what rediss:// implies, for a private CA or a client certificate.
	TLS *tls.Config

	// Timeout bounds connecting and every single exchange with Redis, so that one
	// that hangs holds up nothing else. Defaults to 1 s.
	Timeout time.Duration
	// PingEvery is how often Redis is looked after; its loss and its return are
	// noticed within this and one Timeout. Defaults to 1 s.
	PingEvery time.Duration
	// PoolSize bounds the connections to each node. Defaults to 16.
	PoolSize int

	// MaxEventAge: events that the collector took longer ago than this are not
	// published. Defaults to 10 s.
	MaxEventAge time.Duration
	// MaxSnapshots bounds the tasks whose state the publisher remembers; a message
	// about a forgotten task shows the state of its event alone. Defaults to 100 000.
	MaxSnapshots int
	// SubscriberBuffer is how many messages wait for a slow subscriber; past it the
	// oldest is dropped, counted and told. Defaults to 256.
	SubscriberBuffer int
	// MaxTopics bounds the different topics that this process listens to at once.
	// Defaults to 100 000.
	MaxTopics int
	// ProgressEvery is the shortest time between two progress messages of a task.
	// Defaults to 250 ms.
	ProgressEvery time.Duration

	// RedeliverAfter: a command that an agent took and did not answer is offered
	// again after this. Defaults to 30 s.
	RedeliverAfter time.Duration
	// LostAfter: a source that nobody heard of for this long is lost; what only it
	// was to carry out goes to the other agents of the queue. Defaults to 60 s.
	LostAfter time.Duration
	// PollEvery is how often an agent's connection looks for commands without being
	// woken. Defaults to 2 s.
	PollEvery time.Duration
	// MaxCommands bounds the commands that wait in one queue. Defaults to 100 000.
	MaxCommands int
	// CommandTTL is how long a cancel that nobody answers, and the memory of an
	// answered retry, are kept. Defaults to 24 h.
	CommandTTL time.Duration
	// CommandKey authenticates commands: what stands in Redis and was not put there
	// by a holder of the same key is dropped and counted. Empty: no check, for a
	// Redis that only collectors can write to.
	CommandKey []byte

	// ClaimTTL is how long the claim on a run stands. Defaults to 24 h.
	ClaimTTL time.Duration
	// ActiveTTL: an active task without a sign of life for this long leaves the set.
	// Defaults to 1 h.
	ActiveTTL time.Duration
	// MaxActive bounds the active set of one namespace; the ones silent for longest
	// leave first. Defaults to 100 000.
	MaxActive int

	// OnConnect, where set, is called in its own goroutine, one at a time, when
	// Redis answers after it did not or came back without our data, the first time
	// included: the place to restore the active set and to offer unanswered retries
	// again. ctx ends with Close, which waits for it.
	OnConnect func(ctx context.Context)
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	for _, d := range [...]struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.Timeout, time.Second}, {&c.PingEvery, time.Second}, {&c.MaxEventAge, 10 * time.Second},
		{&c.ProgressEvery, 250 * time.Millisecond}, {&c.RedeliverAfter, 30 * time.Second}, {&c.LostAfter, time.Minute}, {&c.PollEvery, 2 * time.Second},
		{&c.CommandTTL, 24 * time.Hour}, {&c.ClaimTTL, 24 * time.Hour}, {&c.ActiveTTL, time.Hour},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range [...]struct {
		field *int
		value int
	}{
		{&c.PoolSize, 16}, {&c.MaxSnapshots, 100_000}, {&c.SubscriberBuffer, 256}, {&c.MaxTopics, 100_000},
		{&c.MaxCommands, 100_000}, {&c.MaxActive, 100_000},
	} {
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
	if c.URL == "" {
		errs = append(errs, errors.New("URL: must not be empty, want redis://host:port"))
	} else if _, err := c.options(); err != nil {
		errs = append(errs, fmt.Errorf("URL: %w", err))
	}
	for _, f := range [...]struct {
		name  string
		value time.Duration
	}{
		{"Timeout", c.Timeout}, {"PingEvery", c.PingEvery}, {"MaxEventAge", c.MaxEventAge}, {"ProgressEvery", c.ProgressEvery},
		{"RedeliverAfter", c.RedeliverAfter}, {"LostAfter", c.LostAfter}, {"PollEvery", c.PollEvery}, {"CommandTTL", c.CommandTTL},
		{"ClaimTTL", c.ClaimTTL}, {"ActiveTTL", c.ActiveTTL},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s: %v, must not be negative", f.name, f.value))
		}
	}
	for _, f := range [...]struct {
		name  string
		value int
	}{
		{"PoolSize", c.PoolSize}, {"MaxSnapshots", c.MaxSnapshots}, {"SubscriberBuffer", c.SubscriberBuffer},
		{"MaxTopics", c.MaxTopics}, {"MaxCommands", c.MaxCommands}, {"MaxActive", c.MaxActive},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s: %d, must not be negative", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

// options reads the URL. Errors never repeat it, since it may hold a password.
func (c Config) options() (*redis.UniversalOptions, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("not a URL, want redis://user:password@host:port/db")
	}
	q := u.Query()
	more, master := q["addr"], q.Get("master_name")
	cluster := false
	if v := q.Get("cluster"); v != "" {
		if cluster, err = strconv.ParseBool(v); err != nil {
			return nil, fmt.Errorf("parameter cluster: %q, want true or false", v)
		}
	}
	if cluster && master != "" {
		return nil, errors.New("master_name and cluster exclude one another")
	}
	if len(more) > 0 && !cluster && master == "" {
		return nil, errors.New("several addresses want cluster=true or master_name=…")
	}
	for _, own := range []string{"addr", "master_name", "cluster"} {
		q.Del(own)
	}
	u.RawQuery = q.Encode()
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, fmt.Errorf("want redis://, rediss:// or unix://: %w", scrub(err))
	}
	if cluster && o.DB != 0 {
		return nil, errors.New("a cluster has database 0 alone")
	}
	tlsConfig := o.TLSConfig
	if c.TLS != nil {
		tlsConfig = c.TLS.Clone()
		if tlsConfig.ServerName == "" && o.TLSConfig != nil {
			tlsConfig.ServerName = o.TLSConfig.ServerName
		}
	}
	uo := &redis.UniversalOptions{
		Addrs: append([]string{o.Addr}, more...), MasterName: master, IsClusterMode: cluster,
		Username: o.Username, Password: o.Password, DB: o.DB,
		SentinelUsername: c.SentinelUsername, SentinelPassword: c.SentinelPassword,
		TLSConfig:  tlsConfig,
		ClientName: "tasktrail", Protocol: 2,
		DialTimeout: c.Timeout, ReadTimeout: c.Timeout, WriteTimeout: c.Timeout, PoolTimeout: c.Timeout,
		ContextTimeoutEnabled: true, PoolSize: c.PoolSize, MaxActiveConns: c.PoolSize,
		// One try each: what is worth a retry is retried by those who know how long.
		MaxRetries: -1, DialerRetries: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if cluster || master != "" {
		uo.MaxRetries, uo.MaxRedirects = 0, 3
	}
	return uo, nil
}

// scrub drops the URL from a *url.Error, which repeats it whole.
func scrub(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
