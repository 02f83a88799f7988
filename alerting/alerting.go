package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/internal/filelock"
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

// RedisChannel is the name of the channel over a [Publisher].
const RedisChannel = "redis"

// Publisher publishes an alert where subscribers find it.
type Publisher interface {
	// PublishAlert returns an error where the alert was not published; it is called
	// again then.
	PublishAlert(ctx context.Context, a timeline.Alert) error
}

// Deps are the parts that alerting stands on. Each may be nil: then what needs it
// is left out.
type Deps struct {
	// Publisher is where every alert goes, whatever is silenced.
	Publisher Publisher
	// Past answers what can't be counted; without it, rules that ask it are not
	// evaluated.
	Past rule.Past
	// Settled tells what became of tasks elsewhere.
	Settled SettledReader
	// Fleet lets one of several collectors decide for all; without it this one does.
	Fleet Fleet
	// Settings are what operators set before, and over other collectors.
	Settings SettingReader
	// OpenSecrets opens what is sealed of a channel that operators set; without it
	// none of them is in force.
	OpenSecrets func(namespace, name string, sealed []byte) ([]byte, error)
}

// SettingReader reads what operators set, in all namespaces: the latest version
// of each, deleted or not.
type SettingReader interface {
	LatestSettings(ctx context.Context, kind string) ([]timeline.StoredSetting, error)
}

// Alerting follows a log, decides and delivers. All methods but Write are safe
// for concurrent use; Write is for one follower.
type Alerting struct {
	cfg    Config
	deps   Deps
	engine *rule.Engine
	rec    wire.Record
	lock   *filelock.Lock
	holder string

	// reloading lets one change of the rules after the other.
	reloading sync.Mutex

	mu       sync.Mutex
	state    *state
	journal  *journal
	builtin  []builtin
	failures *taskFailed
	channels []*deliverer
	silences *silences
	// dirty: what holds calls back has changed.
	dirty  bool
	stats  Stats
	file   fileState
	inFile *file
	// changed: a channel or a rule that operators set has changed. unfit says which of
	// them are not in force, and why.
	changed bool
	unfit   map[settingKey]string
	dog     *watchdog
	started bool
	closed  bool
	// broken is what the journal failed with last, nil where it does not.
	broken error

	life context.Context //nolint:containedctx // the service's own life
	end  context.CancelFunc
	wg   sync.WaitGroup
}

// New reads the rules and the state and prepares the channels. Nothing is
// delivered before Start; Write may be called before.
func New(cfg Config, deps Deps) (*Alerting, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("alerting: %w", err)
	}
	a := &Alerting{cfg: cfg, deps: deps, state: newState(cfg.MaxLog)}
	a.failures = &taskFailed{wait: cfg.RecoveryWait, recoveries: cfg.RecoveryRuns}
	a.builtin = []builtin{a.failures, breakerOpen{expiry: cfg.BreakerExpiry}}
	a.life, a.end = context.WithCancel(context.Background())
	if deps.Publisher != nil {
		a.channels = append(a.channels, &deliverer{
			alerting: a, name: RedisChannel, shown: RedisChannel, source: SourceFile, kind: RedisChannel, min: timeline.AlertMedium, notifier: publisherNotifier{deps.Publisher},
			timeout: 5 * time.Second, parallel: 1, wake: make(chan struct{}, 1),
		})
	}
	f, err := a.readFile()
	if err != nil {
		return nil, fmt.Errorf("alerting: %w", err)
	}
	if err := channelFaults(append(slices.Clone(a.cfg.Channels), f.channels...)); err != nil {
		return nil, fmt.Errorf("alerting: %w", err)
	}
	a.engine = rule.New(nil, time.Now())
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("alerting: %w", err)
	}
	channels, err := a.makeChannels(f, nil)
	if err != nil {
		a.lock.Unlock()
		return nil, errors.Join(fmt.Errorf("alerting: %w", err), a.journal.close())
	}
	a.channels = append(a.channels, channels...)
	a.settleChannels()
	a.force(f)
	a.loadCounts()
	a.engine.Restore(a.ofRules())
	return a, nil
}

// open reads the state from the disk and takes it into use.
func (a *Alerting) open() error {
	if err := os.MkdirAll(a.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	lock, err := filelock.Try(filepath.Join(a.cfg.Dir, "lock"))
	if err != nil {
		return fmt.Errorf("directory %s: %w", a.cfg.Dir, err)
	}
	j, damaged, err := openJournal(a.cfg.Dir, a.state.read)
	if err != nil {
		lock.Unlock()
		return err
	}
	if a.holder, err = holderName(a.cfg); err != nil {
		lock.Unlock()
		return errors.Join(err, j.close())
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
	return nil
}

// settleChannels gives the channels their state: one that was disabled is tried
// again where it leads elsewhere, and what a channel that is gone had not
// delivered goes with it.
func (a *Alerting) settleChannels() {
	known := map[string]bool{}
	for _, c := range a.channels {
		known[c.name] = true
		if st := a.state.channel(c.name); (st.mark.Disabled != "" || !st.mark.FailingSince.IsZero()) && st.mark.Target != c.target {
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
	a.wg.Go(func() { a.evaluate(a.life) })
	a.wg.Go(func() { a.signal(a.life) })
	for _, c := range a.channels {
		c.start(a.life)
	}
	return nil
}

// Close gives deliveries that are under way a second to end; what they were cut off
// from is made again after the next New. It writes the state. A second Close does
// nothing.
func (a *Alerting) Close() error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil
	}
	a.closed = true
	a.end()
	channels := a.channels
	a.mu.Unlock()
	a.wg.Wait()
	for _, c := range channels {
		c.stop()
	}
	a.saveCounts(time.Now())
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dog.close()
	a.lock.Unlock()
	if err := a.journal.close(); err != nil {
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
	if err := a.decide(ctx, b); err != nil {
		return err
	}
	return a.sync()
}

func (a *Alerting) decide(ctx context.Context, b *spool.Batch) error {
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
	if a.dirty {
		a.round(now)
	}
	return a.commit(now)
}

func (a *Alerting) record(r *wire.Record, now time.Time) {
	if r.Type == timeline.SettingChanged {
		a.setting(r)
		return
	}
	a.engine.Observe(r, now)
	var e timeline.Event
	made := false
	for _, rule := range a.builtin {
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

func (a *Alerting) setting(r *wire.Record) {
	var e timeline.Event
	r.Event(&e)
	if e.Setting != nil && wantsSetting(e.Setting.Kind) && a.take(e.Namespace, *e.Setting, e.OccurredAt) {
		a.dirty = true
	}
}

// sync waits until what was committed is on the disk. The lock must not be held:
// calls go out meanwhile. One that is made again after the machine failed has the
// same id.
func (a *Alerting) sync() error {
	a.mu.Lock()
	sync, done := a.journal.syncing()
	a.mu.Unlock()
	if sync == nil {
		return nil
	}
	err := sync()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.broken = err
		return fmt.Errorf("alerting: %w", err)
	}
	done()
	return nil
}

// commit writes the decisions and wakes the channels; sync, within a second, has
// them outlive the machine. The lock is held.
func (a *Alerting) commit(now time.Time) error {
	decided := len(a.journal.pending) > 0
	if a.broken = a.journal.flush(false); a.broken != nil {
		return fmt.Errorf("alerting: %w", a.broken)
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
			for _, rule := range a.builtin {
				a.route(rule.due(a.state, now), now)
			}
			a.failing(now)
			a.round(now)
			if rounds%600 == 0 {
				a.prune(now)
			}
			if err := a.commit(now); err != nil {
				a.cfg.Logger.Error("write the state of alerts", "error", err)
			}
			a.mu.Unlock()
			if err := a.sync(); err != nil {
				a.cfg.Logger.Error("write the state of alerts", "error", err)
			}
			if rounds%2 == 0 {
				a.watchFile()
			}
			a.reconfigure()
		}
	}
}

type publisherNotifier struct{ p Publisher }

func (p publisherNotifier) Notify(ctx context.Context, n channel.Notification) error {
	return p.p.PublishAlert(ctx, n.Alert)
}
