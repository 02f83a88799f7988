package alerting

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
)

// maxSettings bounds the silences and acknowledgements that are kept.
const maxSettings = 20_000

type settingKey struct{ namespace, kind, id string }

// setting is a silence or an acknowledgement as an operator set it.
type setting struct {
	Namespace string `json:"namespace"`
	timeline.Setting
	At time.Time `json:"at"`

	silence *silence
	ack     *acknowledgement
}

func (v *setting) key() settingKey { return settingKey{v.Namespace, v.Kind, v.ID} }

// silence holds back the calls about alerts that match, from StartsAt to EndsAt.
type silence struct {
	Match    silenceMatch `json:"match"`
	StartsAt time.Time    `json:"starts_at"`
	EndsAt   time.Time    `json:"ends_at"`
}

func (s *silence) in(now time.Time) bool { return !now.Before(s.StartsAt) && now.Before(s.EndsAt) }

// silenceMatch names labels as operators do. Values may be patterns.
type silenceMatch struct{ set match.Set }

var silenceFields = map[string]match.Field{
	"rule": match.Rule, "severity": match.Severity, "type": match.Type, "queue": match.Queue, "agent": match.Agent,
	"provider": match.Provider, "reason": match.Reason, "user_id": match.User, "task_id": match.Task, "alert_id": match.Alert,
}

// UnmarshalJSON reads an object of labels, each with a value or a list of them.
func (m *silenceMatch) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	m.set = match.Set{}
	for name, v := range raw {
		f, ok := silenceFields[name]
		if !ok {
			return fmt.Errorf("match: there is no label %.32q", name)
		}
		var one string
		var many []string
		if json.Unmarshal(v, &one) == nil {
			many = []string{one}
		} else if err := json.Unmarshal(v, &many); err != nil {
			return fmt.Errorf("match.%s: want text or a list of it", name)
		}
		for _, p := range many {
			if err := m.set.Add(f, p); err != nil {
				return fmt.Errorf("match.%s: %w", name, err)
			}
		}
	}
	return nil
}

// acknowledgement says who took an alert on, as it stood then.
type acknowledgement struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// parse reads the body. An empty match would silence everything, and silences
// nothing instead.
func (v *setting) parse() error {
	if v.Deleted {
		return nil
	}
	switch v.Kind {
	case timeline.SettingSilence:
		var s silence
		if err := json.Unmarshal(v.Body, &s); err != nil {
			return err
		}
		if !s.Match.set.Empty() {
			v.silence = &s
		}
	case timeline.SettingAlertState:
		var a acknowledgement
		if err := json.Unmarshal(v.Body, &a); err != nil {
			return err
		}
		if a.At.IsZero() {
			a.At = v.At
		}
		v.ack = &a
	}
	return nil
}

// settingKinds are the kinds of settings that are alerting's.
var settingKinds = [...]string{timeline.SettingSilence, timeline.SettingAlertState, timeline.SettingChannel, timeline.SettingRule}

func wantsSetting(kind string) bool { return slices.Contains(settingKinds[:], kind) }

// set takes a version that is newer than what is known.
func (s *state) set(v *setting) {
	if old := s.settings[v.key()]; old != nil && old.Version >= v.Version {
		return
	}
	if v.parse() != nil {
		return // said when it was taken; of the journal it can't be
	}
	s.settings[v.key()] = v
}

// take puts a setting in force; it reports whether it is news.
func (a *Alerting) take(namespace string, v timeline.Setting, at time.Time) bool {
	if namespace == "" {
		namespace = timeline.DefaultNamespace
	}
	n := &setting{Namespace: namespace, Setting: v, At: at}
	if old := a.state.settings[n.key()]; old != nil && old.Version >= v.Version {
		return false
	}
	if err := n.parse(); err != nil {
		a.cfg.Logger.Warn("a setting can't be read and is not in force", "kind", v.Kind, "id", v.ID, "error", err)
		return false
	}
	if _, known := a.state.settings[n.key()]; !known && len(a.state.settings) >= maxSettings {
		a.stats.Forgotten++
		a.cfg.Logger.Warn("too many silences and acknowledgements: one is not in force", "kind", v.Kind, "id", v.ID)
		return false
	}
	a.state.put(record{Setting: n})
	a.silences = nil
	if v.Kind == timeline.SettingChannel || v.Kind == timeline.SettingRule {
		a.changed = true
	}
	return true
}

// pruneSettings forgets what can't matter any more.
func (s *state) pruneSettings(now time.Time, b bounds) {
	for k, v := range s.settings {
		over := v.Deleted
		switch {
		case v.silence != nil:
			over = !now.Before(v.silence.EndsAt)
		case v.ack != nil:
			id, err := timeline.ParseID(v.ID)
			over = err != nil || s.alerts[id] == nil
		}
		if over && now.Sub(v.At) > b.keepResolved {
			delete(s.settings, k)
		}
	}
}
