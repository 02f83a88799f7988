package alerting

import (
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// route takes alerts that changed from the rules to the channels: it keeps them,
// and queues a notification wherever one is wanted. What holds a notification
// back (a silence, a group, an inhibition) belongs between the two loops. The
// lock is held.
func (a *Alerting) route(changed []timeline.Alert, now time.Time) {
	for i := range changed {
		al := &changed[i]
		a.state.put(record{Alert: al})
		n := newNotification(al, now)
		for _, c := range a.channels {
			if al.Severity >= c.min {
				a.queue(c, n)
			}
		}
	}
}

// queue puts a notification in a channel's queue. A waiting one that tells less
// of the same alert gives way to it: a queue that a dead channel lets grow holds
// at most two for an alert, that it fires and that it is resolved.
func (a *Alerting) queue(c *channel, n Notification) {
	st := a.state.channel(c.name)
	if st.mark.Disabled != "" {
		c.stats.Skipped++
		return
	}
	if i := slices.IndexFunc(st.queue, func(q *queued) bool {
		return q.Alert.ID == n.Alert.ID && q.Alert.State == n.Alert.State && !q.busy
	}); i >= 0 {
		a.state.put(record{Done: &done{c.name, st.queue[i].Seq}})
	}
	if len(st.queue) >= a.cfg.MaxQueue {
		if i := slices.IndexFunc(st.queue, func(q *queued) bool { return !q.busy }); i >= 0 {
			c.stats.Overflowed++
			a.cfg.Logger.Warn("the channel's queue is full: the oldest notification gives way",
				"channel", c.name, "alert", st.queue[i].Alert.ID, "title", st.queue[i].Alert.Title)
			a.state.put(record{Done: &done{c.name, st.queue[i].Seq}})
		}
	}
	a.state.put(record{Queued: &queued{Channel: c.name, Seq: st.seq + 1, Notification: n}})
}
