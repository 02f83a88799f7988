package alerting

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
)

const (
	// firstBackoff and longestBackoff bound the wait between two tries.
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
	// lastWord is how long a call that is under way may take to its end when its
	// channel is stopped: one that is cut off is made again.
	lastWord = time.Second
)

// deliverer takes one channel's queue to its notifier. What stands below stats
// is guarded by the lock of Alerting, as is the queue itself.
type deliverer struct {
	alerting *Alerting
	// name is unique among all, shown what it is called in its namespace; an empty
	// one means all of them.
	name, shown, namespace string
	source                 Source
	kind                   channel.Type
	min                    timeline.AlertSeverity
	match                  match.Set
	groupBy                []match.Field
	notifier               channel.Notifier
	timeout                time.Duration
	parallel               int
	target                 string
	host                   string
	repeat                 time.Duration
	// mutable: silences, inhibition and acknowledgements hold its calls back.
	mutable                  bool
	groupWait, groupInterval time.Duration
	disableAfter             time.Duration
	close                    func()
	wake                     chan struct{}
	config                   *channel.Config

	end context.CancelFunc
	wg  sync.WaitGroup

	stats ChannelStats
	// failures in a row, over all its notifications, and until when it rests because
	// of them: then one call probes, and the others wait for how it goes.
	failures int
	rest     time.Time
	probing  bool
	groups   map[string]*groupWait
}

func (c *deliverer) state() *channelState { return c.alerting.state.channel(c.name) }

func (c *deliverer) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// start begins to deliver, until stop.
func (c *deliverer) start(ctx context.Context) {
	ctx, c.end = context.WithCancel(ctx)
	for range c.parallel {
		c.wg.Go(func() { c.run(ctx) })
	}
}

// stopping begins what stop waits for.
func (c *deliverer) stopping() {
	if c.end != nil {
		c.end()
	}
}

// stop waits until nothing is under way. The lock must not be held.
func (c *deliverer) stop() {
	c.stopping()
	c.wg.Wait()
	if c.close != nil {
		c.close()
	}
}

// run delivers one notification after the other until ctx ends.
func (c *deliverer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		q, wait := c.take(time.Now())
		if q == nil {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-c.wake:
			case <-timer.C:
			}
			continue
		}
		// What one worker was woken for may be work for all of them.
		c.poke()
		began := time.Now()
		err := c.call(ctx, q.Notification)
		if ctx.Err() != nil && err != nil {
			c.release(q)
			return // cut short by stop, so it says nothing of the channel
		}
		c.settle(q, err, began, time.Now())
	}
}

// call makes one call; when ctx ends it has a last word.
func (c *deliverer) call(ctx context.Context, n channel.Notification) error {
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-attempt.Done():
		case <-time.After(lastWord):
			cancel()
		}
	})()
	return c.notifier.Notify(attempt, n)
}

func (c *deliverer) release(q *queued) {
	c.alerting.mu.Lock()
	defer c.alerting.mu.Unlock()
	q.busy, c.probing = false, false
}

// take picks the first notification that may be tried, or says how long to wait
// for one. Calls about one alert keep their order: a later one waits for the
// earlier.
func (c *deliverer) take(now time.Time) (*queued, time.Duration) {
	a := c.alerting
	a.mu.Lock()
	defer a.mu.Unlock()
	const idle = time.Minute
	if a.closed {
		return nil, idle
	}
	st := c.state()
	if st.mark.Disabled != "" || len(st.queue) == 0 || c.probing {
		return nil, idle
	}
	if now.Before(c.rest) {
		return nil, c.rest.Sub(now)
	}
	wait := idle
	var ahead map[timeline.ID]struct{}
	for i := 0; i < len(st.queue); i++ {
		q := st.queue[i]
		if _, blocked := ahead[q.Alert.ID]; blocked {
			continue
		}
		if !q.busy && now.Sub(q.CreatedAt) > a.cfg.MaxAge {
			c.stats.Expired++
			a.cfg.Logger.Error("a notification was given up: it could not be delivered in time",
				"channel", c.name, "alert", q.Alert.ID, "title", q.Alert.Title, "last_error", c.stats.LastError)
			a.state.put(record{Done: &done{c.name, q.Seq, DeliveryDropped, now.UTC()}})
			i--
			continue
		}
		if !q.busy && !now.Before(q.next) {
			q.busy, c.probing = true, c.failures > 0
			return q, 0
		}
		if !q.busy {
			wait = min(wait, q.next.Sub(now))
		}
		if ahead == nil {
			ahead = map[timeline.ID]struct{}{}
		}
		ahead[q.Alert.ID] = struct{}{}
	}
	return nil, wait
}

// settle notes how a delivery went.
func (c *deliverer) settle(q *queued, err error, began, now time.Time) {
	a := c.alerting
	a.mu.Lock()
	defer a.mu.Unlock()
	q.busy, c.probing = false, false
	t := try{At: began.UTC(), Took: timeline.Millis(now.Sub(began))}
	if err == nil {
		c.stats.Delivered++
		a.state.put(record{Tried: &tried{c.name, q.Seq, t}})
		a.state.put(record{Done: &done{c.name, q.Seq, DeliveryDelivered, now.UTC()}})
		c.succeeded(now)
	} else {
		c.failed(q, err, t, now)
	}
	// Not synced: a delivery that is forgotten is made again, with the same id.
	if err := a.journal.flush(false); err != nil {
		a.cfg.Logger.Error("write the state of alerts", "error", err)
	}
	c.poke()
}

func (c *deliverer) succeeded(now time.Time) {
	c.failures, c.rest, c.stats.LastError, c.stats.LastSuccessAt = 0, time.Time{}, "", now
	if m := c.state().mark; !m.FailingSince.IsZero() {
		m.FailingSince = time.Time{}
		c.alerting.state.put(record{Channel: &m})
		c.alerting.recovered(c, now)
	}
}

func (c *deliverer) failed(q *queued, err error, t try, now time.Time) {
	a := c.alerting
	d := channel.AsDelivery(err)
	t.Status, t.Error = d.Status, short(err.Error())
	c.stats.LastError, c.stats.LastFailureAt = t.Error, now
	a.state.put(record{Tried: &tried{c.name, q.Seq, t}})
	log := a.cfg.Logger.With("channel", c.name, "alert", q.Alert.ID, "attempt", q.Count)
	switch {
	case d.Gone:
		c.disable("its receiver answers that it is gone: change or remove it", err.Error(), now)
	case d.Permanent:
		c.stats.Refused++
		c.failures, c.rest = 0, time.Time{} // it answers
		log.Error("a notification was refused and is given up", "title", q.Alert.Title, "error", err)
		a.state.put(record{Done: &done{c.name, q.Seq, DeliveryFailed, now.UTC()}})
	default:
		c.stats.Retried++
		c.failures++
		q.next = now.Add(max(backoff(q.Count), d.After))
		c.rest = now.Add(max(backoff(c.failures), d.After))
		log.Warn("a notification could not be delivered and will be tried again", "error", err, "in", q.next.Sub(now))
		m := c.state().mark
		if m.FailingSince.IsZero() {
			m.FailingSince, m.Target = now.UTC(), c.target
			a.state.put(record{Channel: &m})
		} else if c.disableAfter > 0 && now.Sub(m.FailingSince) > c.disableAfter {
			c.disable("nothing could be delivered for "+now.Sub(m.FailingSince).Round(time.Hour).String()+": change or remove it", err.Error(), now)
		}
	}
}

func short(s string) string {
	if len(s) > 500 {
		return s[:500] + "…"
	}
	return s
}

// disable takes a channel out of use for good: its receiver said that it is
// gone, or has not answered for days. It is tried again when it leads elsewhere,
// or when somebody tests it with success. The other channels are told.
func (c *deliverer) disable(text, why string, now time.Time) {
	a := c.alerting
	st := c.state()
	if st.mark.Disabled != "" {
		return
	}
	a.cfg.Logger.Error("the channel is disabled", "channel", c.name, "why", text, "error", why)
	m := st.mark
	m.Name, m.Target, m.Disabled, m.At = c.name, c.target, short(why), now.UTC()
	a.state.put(record{Channel: &m})
	for len(st.queue) > 0 {
		c.stats.Skipped++
		a.state.put(record{Done: &done{c.name, st.queue[0].Seq, DeliveryDropped, now.UTC()}})
	}
	a.raise(timeline.Alert{
		ID:   timeline.DeriveID("alert", RuleChannelDisabled, c.name, c.target),
		Rule: RuleChannelDisabled, Severity: timeline.AlertHigh, State: timeline.AlertFiring,
		Title: "alert channel " + c.name + " is disabled", Text: text, Namespace: timeline.DefaultNamespace,
	}, now)
	if err := a.journal.flush(true); err != nil {
		a.cfg.Logger.Error("write the state of alerts", "error", err)
	}
}

// enable takes a disabled channel into use again.
func (c *deliverer) enable(now time.Time) {
	a := c.alerting
	a.state.put(record{Channel: &channelMark{Name: c.name, Target: c.target}})
	c.failures, c.rest = 0, time.Time{}
	a.over(timeline.DeriveID("alert", RuleChannelDisabled, c.name, c.target), "the channel is in use again", now)
}

// raise lets an alert of our own begin or go on, and over ends it.
func (a *Alerting) raise(al timeline.Alert, now time.Time) {
	if old := a.state.alerts[al.ID]; old != nil && old.State == timeline.AlertFiring {
		return
	}
	al.StartsAt, al.UpdatedAt = now.UTC(), now.UTC()
	a.route([]timeline.Alert{al}, now)
	for _, c := range a.channels {
		c.poke()
	}
}

func (a *Alerting) over(id timeline.ID, text string, now time.Time) {
	old := a.state.alerts[id]
	if old == nil || old.State != timeline.AlertFiring {
		return
	}
	end := *old
	end.State, end.Text, end.EndsAt, end.UpdatedAt = timeline.AlertResolved, text, now.UTC(), later(now.UTC(), old.UpdatedAt)
	a.route([]timeline.Alert{end}, now)
	for _, c := range a.channels {
		c.poke()
	}
}

// backoff is the wait after the nth failure, drawn from a quarter around a
// doubling that ends at its bound.
func backoff(n int) time.Duration {
	d := longestBackoff
	if n < 20 {
		d = min(firstBackoff<<max(n-1, 0), longestBackoff)
	}
	low, high := d*3/4, min(d*5/4, longestBackoff)
	return low + rand.N(high-low+1)
}

// newDeliverer makes what delivers a channel of the configuration.
func (a *Alerting) newDeliverer(of channelOf) (*deliverer, error) {
	c := of.WithDefaults()
	ch, err := channel.New(c, channel.Links{Base: a.cfg.BaseURL})
	if err != nil {
		return nil, fmt.Errorf("channel %q: %w", c.Name, err)
	}
	d := &deliverer{
		alerting: a, name: of.key, shown: c.Name, namespace: of.namespace, source: of.source, kind: c.Type, min: c.Severity(), match: c.Match, notifier: ch, timeout: c.Timeout.D(), parallel: c.Parallel,
		target: c.Target(), host: c.Host(), repeat: c.Repeat.D(), mutable: true, groupWait: c.GroupWait.D(), groupInterval: c.GroupInterval.D(),
		disableAfter: c.DisableAfter.D(), close: ch.Close, wake: make(chan struct{}, 1), config: &c,
	}
	for _, g := range c.GroupBy {
		f, _ := match.ParseField(g) // Validate knows them
		d.groupBy = append(d.groupBy, f)
	}
	return d, nil
}
