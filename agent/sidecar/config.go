package sidecar

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// Config is what an operator sets.
type Config struct {
	// Addr is where the API listens. Defaults to 127.0.0.1:7070.
	Addr string
	// Token is what callers of the API show, as a bearer token; it is shown to the
	// collector too. Without one the API serves the loopback alone. Defaults to none.
	Token string
	// PublicURL is how callbacks reach this sidecar to report progress. Defaults to
	// http:// and the address it listens on.
	PublicURL string
	// DataDir holds the queue, the spool and the key of progress URLs. One sidecar
	// has it alone. Required.
	DataDir string

	// Agent is the agent's own configuration: collector, retries, breakers. Its
	// SpoolDir, Token and KeepEnds are set here.
	Agent agent.Config

	// CallbackAllow lists the ranges of addresses that are not public and may be
	// called back all the same. Defaults to none.
	CallbackAllow []netip.Prefix
	// CallbackTimeout bounds one attempt of a task that sets no timeout. Defaults to
	// 30 s.
	CallbackTimeout time.Duration
	// Exec lists the commands whose retries are run here, by queue.
	Exec []ExecRule
	// ExecTimeout bounds one attempt of a command. Defaults to none.
	ExecTimeout time.Duration

	// Workers is how many tasks run at a time. Defaults to 32 for each processor, 64
	// at least.
	Workers int
	// MaxTasks bounds the tasks that wait or run. Defaults to 100 000, which is also
	// the most.
	MaxTasks int
	// MaxBody bounds the body of a task in bytes. Defaults to 1 MiB.
	MaxBody int64
	// MaxWaiting bounds the callers that wait for an outcome. Defaults to 10 000.
	MaxWaiting int
	// QueueMaxBytes bounds the queue's log on the disk. Defaults to 1 GiB.
	QueueMaxBytes int64
	// KeepCompleted is how long the outcome of a completed task is remembered for
	// callers that ask again. Defaults to 24 h.
	KeepCompleted time.Duration
	// KeepFailed is how long a failed task is kept for its retry. Defaults to 90 days.
	KeepFailed time.Duration
	// MaxEnded bounds the completed and the failed tasks that are remembered, each.
	// Defaults to 100 000.
	MaxEnded int
	// DrainTimeout is how long running attempts may go on while the sidecar stops,
	// before they are aborted. Defaults to 5 s.
	DrainTimeout time.Duration

	// Logger takes what operators should know. Defaults to slog.Default.
	Logger *slog.Logger
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) withDefaults() Config {
	setDefault(&c.Addr, "127.0.0.1:7070")
	setDefault(&c.CallbackTimeout, 30*time.Second)
	setDefault(&c.Workers, max(64, 32*runtime.GOMAXPROCS(0)))
	setDefault(&c.MaxTasks, maxTasks)
	setDefault(&c.MaxBody, 1<<20)
	setDefault(&c.MaxWaiting, 10_000)
	setDefault(&c.QueueMaxBytes, 1<<30)
	setDefault(&c.KeepCompleted, 24*time.Hour)
	setDefault(&c.KeepFailed, 90*24*time.Hour)
	setDefault(&c.MaxEnded, 100_000)
	setDefault(&c.DrainTimeout, 5*time.Second)
	setDefault(&c.Agent.Name, "tasktrail agent")
	setDefault(&c.Agent.Namespace, timeline.DefaultNamespace)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Agent.Logger, c.Agent.KeepEnds = c.Logger, true
	if c.Token != "" {
		c.Agent.Token = c.Token
	}
	if c.DataDir != "" {
		c.Agent.SpoolDir = filepath.Join(c.DataDir, "spool")
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	return c
}

// maxTasks is how many runs the agent's own journal remembers.
const maxTasks = 100_000

// Validate reports every fault at once, by the names of the settings.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	host, _, err := net.SplitHostPort(c.Addr)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("agent_addr: %q is not an address such as 127.0.0.1:7070", c.Addr))
	case c.Token == "" && !loopbackHost(host):
		errs = append(errs, fmt.Errorf("agent_addr: %q is not on the loopback: set token, or listen on 127.0.0.1", c.Addr))
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		errs = append(errs, fmt.Errorf("agent_url: %q is not an http or https URL", c.PublicURL))
	}
	if c.DataDir == "" {
		errs = append(errs, errors.New("data_dir: must not be empty"))
	}
	if c.MaxTasks < 1 || c.MaxTasks > maxTasks {
		errs = append(errs, fmt.Errorf("agent_max_tasks: %d is not between 1 and %d", c.MaxTasks, maxTasks))
	}
	if c.Workers < 1 || c.Workers > 10_000 {
		errs = append(errs, fmt.Errorf("agent_workers: %d is not between 1 and 10000", c.Workers))
	}
	if c.MaxBody < 1<<10 || c.MaxBody > maxBody {
		errs = append(errs, fmt.Errorf("MaxBody: %d is not between %d and %d", c.MaxBody, 1<<10, maxBody))
	}
	if c.QueueMaxBytes < 8*segmentBytes {
		errs = append(errs, fmt.Errorf("agent_queue_max_bytes: must be at least %d", 8*segmentBytes))
	}
	if c.CallbackTimeout < 0 || c.ExecTimeout < 0 || c.KeepCompleted < 0 || c.KeepFailed < 0 || c.DrainTimeout < 0 {
		errs = append(errs, errors.New("callback_timeout, exec_timeout, KeepCompleted, KeepFailed, DrainTimeout: must not be negative"))
	}
	if c.MaxEnded < 1 || c.MaxWaiting < 1 {
		errs = append(errs, errors.New("MaxEnded, MaxWaiting: must be at least 1"))
	}
	for _, r := range c.Exec {
		errs = append(errs, r.validate())
	}
	if c.DataDir != "" {
		errs = append(errs, c.Agent.Validate())
	}
	return errors.Join(errs...)
}

// maxBody leaves room for what a record adds to it, within a segment.
const maxBody = 4 << 20

func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
