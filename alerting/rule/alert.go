package rule

import (
	"fmt"
	"strings"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/alerting/render"
	"github.com/tasktrail/tasktrail/timeline"
)

// The labels of a rule's alert: its kind, the error's fingerprint where it is about
// one, and how often it is told again.
const (
	LabelKind        = "kind"
	labelFingerprint = "fingerprint"
	LabelRepeat      = "repeat"
)

// Alert gives the alert of a finding. A template of the rule that fails gives
// way to the kind's own words, and the text says so.
func (f *Finding) Alert() timeline.Alert {
	t, r := &f.Track, f.Rule
	a := timeline.Alert{
		ID: t.AlertID(), Rule: r.Name, Severity: r.Severity, State: t.State, Namespace: t.Labels[match.Namespace],
		TaskType: t.Labels[match.Type], Queue: t.Labels[match.Queue], Agent: t.Labels[match.Agent], Provider: t.Labels[match.Provider],
		UserID: t.Labels[match.User], TaskID: t.TaskID, Condition: t.Condition, Value: t.Value, Text: t.Text, Runbook: r.Runbook,
		StartsAt: t.Since.UTC(), UpdatedAt: t.Since.UTC(), Title: f.title(), Labels: map[string]string{LabelKind: string(r.Kind)},
	}
	if t.Detail != "" {
		a.Labels[labelFingerprint] = t.Detail
	}
	if r.Repeat > 0 {
		a.Labels[LabelRepeat] = r.Repeat.String()
	}
	if !t.FiredAt.IsZero() {
		a.UpdatedAt = t.FiredAt.UTC()
	}
	if t.State == timeline.AlertResolved {
		a.EndsAt, a.UpdatedAt = t.EndedAt.UTC(), t.EndedAt.UTC()
	}
	title, text := a.Title, a.Text
	for _, part := range []struct {
		source string
		into   *string
	}{{r.Title, &title}, {r.Text, &text}} {
		if part.source == "" {
			continue
		}
		tm, err := render.Parse(part.source)
		var got string
		if err == nil {
			got, err = render.Execute(tm, &render.Data{Alert: a, Alerts: []timeline.Alert{a}})
		}
		if err != nil {
			text = strings.TrimSpace(text + "\n(the rule's template failed: " + err.Error() + ")")
			continue
		}
		*part.into = got
	}
	a.Title, a.Text = title, text
	return a
}

// trackOf gives the finding that an alert is of, where it pends or fires.
func trackOf(a *timeline.Alert) (*Track, bool) {
	t := &Track{
		Condition: a.Condition, Detail: a.Labels[labelFingerprint], State: a.State, Since: a.StartsAt, Value: a.Value, Text: a.Text, TaskID: a.TaskID,
		Labels: match.Labels{match.Namespace: a.Namespace, match.Type: a.TaskType, match.Queue: a.Queue, match.Agent: a.Agent, match.Provider: a.Provider, match.User: a.UserID},
	}
	if a.State == timeline.AlertFiring {
		t.FiredAt = a.UpdatedAt
	}
	for _, r := range [...]Rule{{Name: a.Rule}, {Name: a.Rule, Scope: a.Namespace}} {
		if t.Rule = r.id(); t.AlertID() == a.ID {
			return t, true
		}
	}
	return nil, false
}

// title is what a rule says without a template: its name, the group and, where
// there are several, the condition.
func (f *Finding) title() string {
	var b strings.Builder
	b.WriteString(f.Rule.Name)
	for _, by := range f.Rule.By {
		fmt.Fprintf(&b, " %s=%s", by, f.Track.Labels[by])
	}
	switch f.Track.Condition {
	case NeverStarted:
		b.WriteString(": never started")
	case Late:
		b.WriteString(": late")
	case FirstSeen:
		b.WriteString(": new error")
	case Regressed:
		b.WriteString(": an error is back")
	}
	return b.String()
}
