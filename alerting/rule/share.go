package rule

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// MaxShareBytes bounds what one collector tells the others.
const MaxShareBytes = 8 << 20

// Share is what an engine has counted and found: to be kept over a restart, and
// to be told to the collector that decides for the fleet.
type Share struct {
	At time.Time `json:"at"`
	// Evaluated is when its engine last decided; the tracks are of then.
	Evaluated time.Time           `json:"evaluated,omitzero"`
	Began     time.Time           `json:"began,omitzero"`
	Groups    map[string][]*group `json:"groups,omitempty"`
	Tracks    []*Track            `json:"tracks,omitempty"`
	// Lag is how far its collector is behind.
	Lag time.Duration `json:"lag,omitempty"`
}

// Export gives what the engine holds, and with it how far its collector is
// behind.
func (e *Engine) Export(now time.Time, lag time.Duration) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Share{At: now, Evaluated: e.evaluated, Began: e.began, Lag: lag, Groups: map[string][]*group{}}
	for _, w := range e.watches {
		for _, g := range w.groups {
			s.Groups[w.key] = append(s.Groups[w.key], g)
		}
	}
	for _, t := range e.tracks {
		s.Tracks = append(s.Tracks, t)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode what rules counted: %w", err)
	}
	if len(b) > MaxShareBytes {
		return nil, fmt.Errorf("what rules counted has %d bytes, the limit is %d: split rules by fewer labels", len(b), MaxShareBytes)
	}
	return b, nil
}

// ParseShare reads what Export gave.
func ParseShare(b []byte) (*Share, error) {
	if len(b) > MaxShareBytes {
		return nil, fmt.Errorf("what rules counted has %d bytes, the limit is %d", len(b), MaxShareBytes)
	}
	var s Share
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read what rules counted: %w", err)
	}
	for key, groups := range s.Groups {
		if len(groups) > maxGroups {
			return nil, fmt.Errorf("read what rules counted: %d groups", len(groups))
		}
		for _, g := range groups {
			if g == nil || len(g.Buckets) > slotsPerWindow+2 || len(g.Outcomes) > maxStreak+2 || len(g.Starts) > maxStarts || len(g.Errors) > maxErrors {
				return nil, fmt.Errorf("read what rules counted: a group of %.64q is damaged", key)
			}
		}
	}
	for _, t := range s.Tracks {
		if t == nil {
			return nil, fmt.Errorf("read what rules counted: a finding is damaged")
		}
	}
	return &s, nil
}

// Import takes up what an engine held, for the rules that are still counted the
// same way. It is for a fresh engine.
func (e *Engine) Import(s *Share) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !s.Began.IsZero() && s.Began.Before(e.began) {
		e.began = s.Began
	}
	for _, w := range e.watches {
		for _, g := range s.Groups[w.key] {
			w.groups[g.Labels] = g
		}
	}
	e.takeTracks(s)
}

// Restore makes of the findings what is known of their alerts, which are kept when
// they change, while what was counted is kept now and then. Without it a finding
// would be made, and called, once more. It is for a fresh engine, after Import.
func (e *Engine) Restore(alerts []*timeline.Alert) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range alerts {
		t, ok := trackOf(a)
		if !ok || len(e.tracks) >= maxGroups*4 {
			continue
		}
		k := t.key()
		old := e.tracks[k]
		switch {
		case a.State != timeline.AlertResolved:
			if old == nil || old.State != t.State || !old.FiredAt.Equal(t.FiredAt) {
				e.tracks[k] = t
			}
		case old != nil && !old.Since.After(a.StartsAt):
			delete(e.tracks, k) // it was over meanwhile
		}
	}
}

// Adopt takes up what the engine that decided before this one found, where it
// decided later than this one.
func (e *Engine) Adopt(fleet []*Share) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var last *Share
	for _, s := range fleet {
		if s.Evaluated.After(e.evaluated) && (last == nil || s.Evaluated.After(last.Evaluated)) {
			last = s
		}
	}
	if last != nil {
		clear(e.tracks)
		e.takeTracks(last)
	}
}

func (e *Engine) takeTracks(s *Share) {
	for i, t := range s.Tracks {
		if i >= maxGroups*4 {
			break
		}
		e.tracks[t.key()] = t
	}
	if s.Evaluated.After(e.evaluated) {
		e.evaluated = s.Evaluated
	}
}

// Findings lists what is pending or fires.
func (e *Engine) Findings() []Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	rules := map[string]*Rule{}
	for _, w := range e.watches {
		r := w.Rule
		rules[r.id()] = &r
	}
	var out []Finding
	for _, t := range e.tracks {
		if r := rules[t.Rule]; r != nil {
			out = append(out, Finding{r, *t})
		}
	}
	return out
}
