package alerting

import (
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
)

// maxWaiting bounds the groups of a channel that are remembered.
const maxWaiting = 10_000

// groupWait is a group whose next call waits for more. It does not outlive a
// restart: what was not told is gathered again.
type groupWait struct {
	key    string
	alerts map[timeline.ID]struct{}
	// since is when the first of them came, last when the group was last told.
	since, last time.Time
}

// gather puts an alert into its group.
func (c *deliverer) gather(al *timeline.Alert, labels *match.Labels, now time.Time) {
	words := make([]string, 0, len(c.groupBy))
	for _, f := range c.groupBy {
		words = append(words, f.String()+"="+labels[f])
	}
	key := strings.Join(words, ",")
	g := c.groups[key]
	if g == nil {
		if c.groups == nil {
			c.groups = map[string]*groupWait{}
		}
		g = &groupWait{key: key, alerts: map[timeline.ID]struct{}{}}
		c.groups[key] = g
	}
	if g.since.IsZero() {
		g.since = now
	}
	g.alerts[al.ID] = struct{}{}
}

// due gives the groups that have waited, and forgets those that are quiet.
func (c *deliverer) due(now time.Time) (out []*groupWait) {
	for key, g := range c.groups {
		switch {
		case len(g.alerts) == 0:
			if now.Sub(g.last) > c.groupInterval || len(c.groups) > maxWaiting {
				delete(c.groups, key)
			}
		case now.Sub(g.since) >= c.groupWait && now.Sub(g.last) >= c.groupInterval:
			out = append(out, g)
		}
	}
	return out
}
