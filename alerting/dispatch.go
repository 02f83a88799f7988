package alerting

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/timeline"
)

const (
	// maxGrouped bounds the alerts of one call.
	maxGrouped = 200
)

// route takes alerts that changed from the rules: it keeps them, and tells the
// channels that call at once. The lock is held.
func (a *Alerting) route(changed []timeline.Alert, now time.Time) {
	for i := range changed {
		al := &changed[i]
		al.InhibitedBy, al.AcknowledgedBy = timeline.ID{}, ""
		a.state.put(record{Alert: al})
		if al.Rule == RuleBreakerOpen {
			a.dirty = true // what it stands for is told, or held back, in the next round
		}
		a.consider(al, now, false)
	}
}

// consider tells each channel what it has not been told of an alert, unless
// something holds it back. Grouped channels are told in rounds. The lock is
// held.
func (a *Alerting) consider(al *timeline.Alert, now time.Time, round bool) {
	if al.State == timeline.AlertPending {
		return
	}
	labels := labelsOf(al)
	muted := false
	if al.State == timeline.AlertFiring {
		al.InhibitedBy = a.inhibitor(al)
		muted = !al.InhibitedBy.IsZero() || a.inForce(now).any(&labels)
	}
	al.AcknowledgedBy = ""
	ack := a.acknowledged(al)
	if ack != nil {
		al.AcknowledgedBy = ack.By
	}
	for _, c := range a.channels {
		if al.Severity < c.min || c.namespace != "" && c.namespace != al.Namespace || !c.match.Match(&labels) {
			continue
		}
		t := a.state.told[al.ID][c.name]
		turn, ok := a.turn(c, al, t, muted, ack != nil, now)
		if !ok {
			continue
		}
		if len(c.groupBy) > 0 {
			if round {
				c.gather(al, &labels, now)
			}
			continue
		}
		a.queue(c, channel.NewNotification(al, turn, now))
		a.tell(c, al, turn, now)
	}
}

// turn decides whether a channel is to be told of an alert now, and for the how
// manieth time it is told the same.
func (a *Alerting) turn(c *deliverer, al *timeline.Alert, t *told, muted, acknowledged bool, now time.Time) (int, bool) {
	told := t != nil && t.State == timeline.AlertFiring
	if al.State == timeline.AlertResolved {
		// Whoever was told that it fires is told that it is over, whatever holds calls
		// back.
		return 0, told
	}
	if muted && c.mutable {
		return 0, false
	}
	switch {
	case !told:
		return 0, true
	case al.UpdatedAt.After(t.Updated):
		// It changed. Who took it on is called again where it grew worse.
		return 0, !acknowledged || !c.mutable || al.Severity > t.Severity
	case acknowledged || c.state().mark.Disabled != "":
		return 0, false
	}
	every := a.repeatOf(al, c)
	if every <= 0 || now.Sub(t.At) < every {
		return 0, false
	}
	return t.Round + 1, true
}

func (a *Alerting) repeatOf(al *timeline.Alert, c *deliverer) time.Duration {
	if c.repeat > 0 {
		if d, err := time.ParseDuration(al.Labels[rule.LabelRepeat]); err == nil && d > 0 && c.kind != channel.Alertmanager {
			return d
		}
	}
	return c.repeat
}

func (a *Alerting) tell(c *deliverer, al *timeline.Alert, round int, now time.Time) {
	a.state.put(record{Told: &told{
		Channel: c.name, Alert: al.ID, State: al.State, Updated: al.UpdatedAt, At: now.UTC(), Round: round, Severity: al.Severity,
	}})
}

// round considers every alert: what time has changed, silences that began or
// ended, repeats, groups. The lock is held.
func (a *Alerting) round(now time.Time) {
	a.dirty = false
	for _, al := range a.state.alerts {
		if al.State == timeline.AlertFiring || a.owed(al) {
			a.consider(al, now, true)
		}
	}
	for _, c := range a.channels {
		for _, g := range c.due(now) {
			a.flush(c, g, now)
		}
	}
}

// owed reports whether somebody was told that a resolved alert fires.
func (a *Alerting) owed(al *timeline.Alert) bool {
	if al.State != timeline.AlertResolved {
		return false
	}
	for _, t := range a.state.told[al.ID] {
		if t.State == timeline.AlertFiring {
			return true
		}
	}
	return false
}

// flush makes one call of a group: what changed first, and then what goes on.
func (a *Alerting) flush(c *deliverer, g *groupWait, now time.Time) {
	var all []timeline.Alert
	for id := range g.alerts {
		if al := a.state.alerts[id]; al != nil {
			all = append(all, *al)
		}
	}
	clear(g.alerts)
	g.since, g.last = time.Time{}, now
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(x, y timeline.Alert) int {
		return cmp.Or(cmp.Compare(y.Severity, x.Severity), x.StartsAt.Compare(y.StartsAt), slices.Compare(x.ID[:], y.ID[:]))
	})
	words := []string{"group", c.name, g.key}
	for i := range all {
		al := &all[i]
		round := 0
		if t := a.state.told[al.ID][c.name]; t != nil && t.State == al.State && !al.UpdatedAt.After(t.Updated) {
			round = t.Round + 1
		}
		words = append(words, al.ID.String(), string(al.State), strconv.FormatInt(al.UpdatedAt.UnixNano(), 10), strconv.Itoa(round))
		a.tell(c, al, round, now)
	}
	if len(all) > maxGrouped {
		all[0].Text += fmt.Sprintf("\n(and %d more alerts of the group)", len(all)-maxGrouped)
		all = all[:maxGrouped]
	}
	a.queue(c, channel.Notification{
		ID: timeline.DeriveID(words...), CreatedAt: now.UTC(), Alert: all[0], More: all[1:], Group: g.key,
	})
}

// queue puts a notification in a channel's queue. A waiting one that tells less
// of the same alert gives way to it: a queue that a dead channel lets grow holds
// at most two for an alert, that it fires and that it is resolved.
func (a *Alerting) queue(c *deliverer, n channel.Notification) {
	st := c.state()
	if st.mark.Disabled != "" {
		c.stats.Skipped++
		return
	}
	if n.Group == "" {
		if i := slices.IndexFunc(st.queue, func(q *queued) bool {
			return q.Alert.ID == n.Alert.ID && q.Alert.State == n.Alert.State && q.Group == "" && !q.busy
		}); i >= 0 {
			a.state.put(record{Done: &done{Channel: c.name, Seq: st.queue[i].Seq}})
		}
	}
	if len(st.queue) >= a.cfg.MaxQueue {
		if i := slices.IndexFunc(st.queue, func(q *queued) bool { return !q.busy }); i >= 0 {
			c.stats.Overflowed++
			a.cfg.Logger.Warn("the channel's queue is full: the oldest notification gives way",
				"channel", c.name, "alert", st.queue[i].Alert.ID, "title", st.queue[i].Alert.Title)
			a.state.put(record{Done: &done{c.name, st.queue[i].Seq, DeliveryDropped, time.Now().UTC()}})
		}
	}
	a.state.put(record{Queued: &queued{Channel: c.name, Seq: st.seq + 1, Notification: n}})
}
