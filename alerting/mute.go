package alerting

import (
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
)

// silences are those that may be in force, indexed; they are made anew when one
// changes, begins or ends.
type silences struct {
	until time.Time // when one of them begins or ends
	ids   []string
	index *match.Index
}

// inForce gives the index of the silences in force at now. The lock is held.
func (a *Alerting) inForce(now time.Time) *silences {
	if s := a.silences; s != nil && now.Before(s.until) {
		return s
	}
	s := &silences{until: now.Add(time.Hour)}
	var sets []*match.Set
	for k, v := range a.state.settings {
		sl := v.silence
		if sl == nil {
			continue
		}
		if sl.in(now) {
			set := sl.Match.set
			_ = set.Add(match.Namespace, literal(k.namespace)) // of one label without a pattern there is room
			sets = append(sets, &set)
			s.ids = append(s.ids, v.ID)
		}
		for _, turn := range [...]time.Time{sl.StartsAt, sl.EndsAt} {
			if turn.After(now) && turn.Before(s.until) {
				s.until = turn
			}
		}
	}
	s.index = match.NewIndex(sets)
	a.state.revision++
	a.silences = s
	return s
}

// literal keeps a namespace's name from being a pattern; a byte that stands for
// one more is rather too quiet by one namespace's look-alike than wrong by all.
func literal(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c == '*' || c == '!' && i == 0 {
			b[i] = '?'
		}
	}
	return string(b)
}

// of gives the silences that hold an alert back.
func (s *silences) of(l *match.Labels) (ids []string) {
	s.index.Find(l, func(n int) bool { ids = append(ids, s.ids[n]); return len(ids) < 10 })
	return ids
}

// any reports whether one does.
func (s *silences) any(l *match.Labels) (found bool) {
	s.index.Find(l, func(int) bool { found = true; return false })
	return found
}

// labelsOf gives what silences and channels are matched against.
func labelsOf(a *timeline.Alert) match.Labels {
	return match.Labels{
		match.Namespace: a.Namespace, match.Type: a.TaskType, match.Queue: a.Queue, match.Provider: a.Provider, match.Agent: a.Agent,
		match.User: a.UserID, match.Rule: a.Rule, match.Severity: a.Severity.String(), match.Reason: string(a.Reason), match.Task: a.TaskID,
		match.Alert: a.ID.String(),
	}
}

// inhibitor gives the alert that stands for an alert: a failed task's provider
// whose breaker is open.
func (a *Alerting) inhibitor(al *timeline.Alert) timeline.ID {
	if al.Rule != RuleTaskFailed || al.Provider == "" || al.State != timeline.AlertFiring {
		return timeline.ID{}
	}
	b := a.state.breakers[(&breakerEntry{Namespace: al.Namespace, Provider: al.Provider}).key()]
	if b == nil || b.Alert.IsZero() {
		return timeline.ID{}
	}
	return b.Alert
}

// acknowledged gives who took an alert on, as it stands.
func (a *Alerting) acknowledged(al *timeline.Alert) *acknowledgement {
	if len(a.state.settings) == 0 {
		return nil
	}
	v := a.state.settings[settingKey{al.Namespace, timeline.SettingAlertState, al.ID.String()}]
	if v == nil || v.ack == nil || v.ack.At.Before(al.StartsAt) {
		return nil
	}
	return v.ack
}
