package alerting

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

const (
	// firstBackoff and longestBackoff bound the wait between two tries.
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
)

// channel delivers one queue over one notifier. Its fields below stats are
// guarded by the lock of Alerting, as is the queue itself.
type channel struct {
	alerting *Alerting
	name     string
	min      timeline.AlertSeverity
	notifier Notifier
	timeout  time.Duration
	parallel int
	target   string
	close    func()
	wake     chan struct{}

	stats ChannelStats
	// failures in a row, over all its notifications, and until when it rests
	// because of them.
	failures int
	rest     time.Time
}

func (c *channel) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run delivers one notification after the other until ctx ends.
func (c *channel) run(ctx context.Context) {
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
		attempt, cancel := context.WithTimeout(ctx, c.timeout)
		err := c.notifier.Notify(attempt, q.Notification)
		cancel()
		if ctx.Err() != nil && err != nil {
			return // cut short by Close, so it says nothing of the channel
		}
		c.settle(q, err, time.Now())
	}
}

// take picks the first notification that may be tried, or says how long to wait
// for one. Calls about one alert keep their order: a later one waits for the
// earlier.
func (c *channel) take(now time.Time) (*queued, time.Duration) {
	a := c.alerting
	a.mu.Lock()
	defer a.mu.Unlock()
	const idle = time.Minute
	if a.closed {
		return nil, idle
	}
	st := a.state.channel(c.name)
	if st.mark.Disabled != "" || len(st.queue) == 0 {
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
			a.state.put(record{Done: &done{c.name, q.Seq}})
			i--
			continue
		}
		if !q.busy && !now.Before(q.next) {
			q.busy = true
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
func (c *channel) settle(q *queued, err error, now time.Time) {
	a := c.alerting
	a.mu.Lock()
	defer a.mu.Unlock()
	q.busy = false
	log := a.cfg.Logger.With("channel", c.name, "alert", q.Alert.ID, "attempt", q.attempts+1)
	if err == nil {
		c.stats.Delivered++
		c.failures, c.stats.LastError = 0, ""
		a.state.put(record{Done: &done{c.name, q.Seq}})
	} else {
		c.stats.LastError = err.Error()
		switch d := asDelivery(err); {
		case d.Gone:
			c.disable(err, now)
		case d.Permanent:
			c.stats.Refused++
			c.failures = 0 // it answers
			log.Error("a notification was refused and is given up", "title", q.Alert.Title, "error", err)
			a.state.put(record{Done: &done{c.name, q.Seq}})
		default:
			c.stats.Retried++
			q.attempts++
			c.failures++
			q.next = now.Add(max(backoff(q.attempts), d.After))
			c.rest = now.Add(max(backoff(c.failures), d.After))
			log.Warn("a notification could not be delivered and will be tried again", "error", err, "in", q.next.Sub(now))
		}
	}
	// Not synced: a delivery that is forgotten is made again, with the same id.
	if err := a.journal.flush(false); err != nil {
		a.cfg.Logger.Error("write the state of alerts", "error", err)
	}
	c.poke()
}

// disable takes a channel out of use for good: its receiver said that it is
// gone. It is tried again when its URL is another. The other channels are told.
func (c *channel) disable(why error, now time.Time) {
	a := c.alerting
	st := a.state.channel(c.name)
	if st.mark.Disabled != "" {
		return
	}
	a.cfg.Logger.Error("the channel is disabled: its receiver is gone", "channel", c.name, "error", why)
	a.state.put(record{Channel: &channelMark{Name: c.name, Target: c.target, Disabled: why.Error(), At: now.UTC()}})
	for _, q := range st.queue {
		if !q.busy {
			c.stats.Skipped++
			a.state.save(record{Done: &done{c.name, q.Seq}})
		}
	}
	st.queue = nil
	a.route([]timeline.Alert{{
		ID:   timeline.DeriveID("alert", ruleChannelDisabled, c.name, c.target),
		Rule: ruleChannelDisabled, Severity: timeline.AlertHigh, State: timeline.AlertFiring,
		Title: "alert channel " + c.name + " is disabled", Text: "its receiver answers that it is gone: change or remove it",
		Namespace: timeline.DefaultNamespace, StartsAt: now.UTC(), UpdatedAt: now.UTC(),
	}}, now)
	if err := a.journal.flush(true); err != nil {
		a.cfg.Logger.Error("write the state of alerts", "error", err)
	}
	for _, other := range a.channels {
		other.poke()
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
