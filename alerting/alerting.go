package alerting

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

const (
	// tickEvery is how often rules are asked what time alone has changed.
	tickEvery = time.Second
	// rewriteFloor is the size below which the journal is never rewritten.
	rewriteFloor = 4 << 20
)

// Alerting follows a log, decides and delivers. All methods but Write are safe
// for concurrent use; Write is for one follower.
type Alerting struct {
	cfg      Config
	rules    []rule
	channels []*channel
	rec      wire.Record
	lock     *os.File

	mu      sync.Mutex
	state   *state
	journal *journal
	stats   Stats
	started bool
	closed  bool

	life context.Context
	end  context.CancelFunc
	wg   sync.WaitGroup
}

// Stats counts what was done since New.
type Stats struct {
	// Firing and Resolved are the alerts that are kept, Tasks the tasks that are
	// followed.
	Firing, Resolved, Tasks int
	// Forgotten are alerts and tasks that the bounds pushed out before they were
	// over, Damaged lines of the journal that could not be read, Unreadable frames.
	Forgotten, Damaged, Unreadable uint64
	Channels                       []ChannelStats
}

// ChannelStats counts the deliveries of one channel since New.
type ChannelStats struct {
	Name string
	// Queued wait at the moment, the oldest since OldestAt.
	Queued   int
	OldestAt time.Time
	// Delivered arrived, Retried failed and were tried again, Refused will never be
	// taken, Expired were given up for their age, Overflowed gave way in a full
	// queue, Skipped came while the channel was disabled.
	Delivered, Retried, Refused, Expired, Overflowed, Skipped uint64
	// Disabled says why the channel takes nothing more, empty where it does.
	Disabled  string
	LastError string
}

// New reads the state and prepares the channels: that over publisher (nil: none)
// and the configured ones. Nothing is delivered before Start; Write may be called
// before.
func New(cfg Config, publisher Publisher) (*Alerting, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("alerting: %w", err)
	}
	a := &Alerting{cfg: cfg, state: newState()}
	a.rules = []rule{
		&taskFailed{thresholds: cfg.Thresholds, wait: cfg.RecoveryWait, recoveries: cfg.RecoveryRuns},
		breakerOpen{expiry: cfg.BreakerExpiry},
	}
	if publisher != nil {
		a.channels = append(a.channels, &channel{
			alerting: a, name: RedisChannel, min: timeline.AlertMedium, notifier: publisherNotifier{publisher},
			timeout: 5 * time.Second, parallel: 1,
		})
	}
	for _, c := range cfg.Channels {
		w, err := newWebhook(c)
		if err != nil {
			return nil, fmt.Errorf("alerting: channel %q: %w", c.Name, err)
		}
		severity, _ := timeline.ParseAlertSeverity(c.MinSeverity)
		a.channels = append(a.channels, &channel{
			alerting: a, name: c.Name, min: severity, notifier: w, timeout: c.Timeout, parallel: c.Parallel, target: c.target(), close: w.close,
		})
	}
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("alerting: %w", err)
	}
	a.life, a.end = context.WithCancel(context.Background())
	return a, nil
}

// open reads the state from the disk and takes it into use.
func (a *Alerting) open() error {
	if err := os.MkdirAll(a.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	lock, err := lockDir(a.cfg.Dir)
	if err != nil {
		return err
	}
	j, damaged, err := openJournal(a.cfg.Dir, a.state.read)
	if err != nil {
		_ = lock.Close()
		return err
	}
	a.lock, a.journal, a.stats.Damaged = lock, j, uint64(damaged)
	if damaged > 0 {
		a.cfg.Logger.Warn("the journal of alerts has lines that can't be read", "lines", damaged)
	}
	a.state.save = func(r record) {
		b, err := json.Marshal(r)
		if err != nil {
			a.cfg.Logger.Error("encode the state of an alert", "error", err)
			return
		}
		a.journal.add(b)
	}
	known := map[string]bool{}
	for _, c := range a.channels {
		c.wake = make(chan struct{}, 1)
		known[c.name] = true
		st := a.state.channel(c.name)
		if st.mark.Disabled != "" && st.mark.Target != c.target {
			a.state.put(record{Channel: &channelMark{Name: c.name, Target: c.target}})
		}
	}
	for name, st := range a.state.channels {
		if !known[name] {
			if len(st.queue) > 0 {
				a.cfg.Logger.Warn("a channel is gone, and with it what it had not delivered", "channel", name, "notifications", len(st.queue))
			}
			delete(a.state.channels, name)
		}
	}
	return nil
}

// Start begins to deliver and to watch the time, until Close; ctx bounds the
// start alone.
func (a *Alerting) Start(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return errors.New("alerting: start after close")
	case a.started:
		return errors.New("alerting: started twice")
	}
	a.started = true
	a.wg.Go(func() { a.tick(a.life) })
	for _, c := range a.channels {
		for range c.parallel {
			a.wg.Go(func() { c.run(a.life) })
		}
	}
	return nil
}

// Close stops deliveries that are under way, which will be made again, and
// writes the state. A second Close does nothing.
func (a *Alerting) Close() error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil
	}
	a.closed = true
	a.end()
	a.mu.Unlock()
	a.wg.Wait()
	for _, c := range a.channels {
		if c.close != nil {
			c.close()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := errors.Join(a.journal.close(), a.lock.Close()); err != nil {
		return fmt.Errorf("alerting: close: %w", err)
	}
	return nil
}

// Name is the name of the sink and its cursor.
func (a *Alerting) Name() string { return "alerting" }

// Write takes the events of a batch. When it returns nil, what follows from them
// is on disk; after an error the batch is to be written again, which decides
// nothing twice.
func (a *Alerting) Write(ctx context.Context, b *spool.Batch) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errors.New("alerting: closed")
	}
	now := time.Now()
	for _, frame := range b.Frames {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := wire.ScanFrame(frame, &a.rec, func(r *wire.Record) error { a.record(r, now); return nil }); err != nil {
			a.stats.Unreadable++
		}
	}
	return a.commit(now)
}

func (a *Alerting) record(r *wire.Record, now time.Time) {
	var e timeline.Event
	made := false
	for _, rule := range a.rules {
		if !rule.wants(a.state, r) {
			continue
		}
		if !made {
			r.Input, r.Output, made = nil, nil, true
			r.Event(&e)
		}
		a.route(rule.observe(a.state, &e, now), now)
	}
}

// commit puts the decisions on disk and wakes the channels. The lock is held.
func (a *Alerting) commit(now time.Time) error {
	decided := len(a.journal.pending) > 0
	if err := a.journal.flush(true); err != nil {
		return fmt.Errorf("alerting: %w", err)
	}
	if decided {
		for _, c := range a.channels {
			c.poke()
		}
	}
	if len(a.state.tasks) > a.cfg.MaxTasks || len(a.state.alerts) > a.cfg.MaxAlerts || len(a.state.breakers) > a.cfg.MaxTasks {
		a.prune(now)
	}
	if a.journal.grown(rewriteFloor) {
		a.prune(now)
		if err := a.rewrite(); err != nil {
			// What was decided is on disk already; a shorter file can wait.
			a.cfg.Logger.Warn("shorten the journal of alerts", "error", err)
		}
	}
	return nil
}

func (a *Alerting) prune(now time.Time) {
	early := a.state.prune(now, bounds{tasks: a.cfg.MaxTasks, alerts: a.cfg.MaxAlerts, keepResolved: a.cfg.KeepResolved})
	if early > 0 {
		a.stats.Forgotten += uint64(early)
		a.cfg.Logger.Warn("too many alerts: the oldest were forgotten before they were over", "count", early)
	}
}

func (a *Alerting) rewrite() error {
	records, err := a.state.records()
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	return a.journal.rewrite(records)
}

// tick asks the rules what time has changed, until ctx ends.
func (a *Alerting) tick(ctx context.Context) {
	every := time.NewTicker(tickEvery)
	defer every.Stop()
	rounds := 0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			rounds++
			a.mu.Lock()
			for _, rule := range a.rules {
				a.route(rule.due(a.state, now), now)
			}
			if rounds%600 == 0 {
				a.prune(now)
			}
			if err := a.commit(now); err != nil {
				a.cfg.Logger.Error("write the state of alerts", "error", err)
			}
			a.mu.Unlock()
		}
	}
}

// Alerts returns the alerts of a namespace that are kept ("" for all), the
// firing ones alone where firing is set, those that changed last first.
func (a *Alerting) Alerts(namespace string, firing bool) []timeline.Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]timeline.Alert, 0, 16)
	for _, al := range a.state.alerts {
		if (namespace == "" || al.Namespace == namespace) && (!firing || al.State == timeline.AlertFiring) {
			out = append(out, *al)
		}
	}
	slices.SortFunc(out, func(x, y timeline.Alert) int {
		return cmp.Or(y.UpdatedAt.Compare(x.UpdatedAt), slices.Compare(x.ID[:], y.ID[:]))
	})
	return out
}

// Stats returns the counts so far.
func (a *Alerting) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.stats
	s.Tasks = len(a.state.tasks)
	for _, al := range a.state.alerts {
		if al.State == timeline.AlertFiring {
			s.Firing++
		} else {
			s.Resolved++
		}
	}
	for _, c := range a.channels {
		cs := c.stats
		st := a.state.channel(c.name)
		cs.Name, cs.Queued, cs.Disabled = c.name, len(st.queue), st.mark.Disabled
		if len(st.queue) > 0 {
			cs.OldestAt = st.queue[0].CreatedAt
		}
		s.Channels = append(s.Channels, cs)
	}
	return s
}

// Test sends a test notification over a channel now, past its queue, and returns
// what the delivery returned.
func (a *Alerting) Test(ctx context.Context, name string) error {
	for _, c := range a.channels {
		if c.name != name {
			continue
		}
		now := time.Now().UTC()
		al := timeline.Alert{
			ID: timeline.DeriveID("alert", testRule, name, now.String()), Rule: testRule, Severity: timeline.AlertMedium, State: timeline.AlertFiring,
			Title: "test of channel " + name, Namespace: timeline.DefaultNamespace, StartsAt: now, UpdatedAt: now,
		}
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		if err := c.notifier.Notify(ctx, newNotification(&al, now)); err != nil {
			return fmt.Errorf("test channel %q: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("test channel %q: there is no such channel", name)
}
