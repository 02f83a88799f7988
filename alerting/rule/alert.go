package rule

import (
	"fmt"
	"strings"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/alerting/render"
	"github.com/tasktrail/tasktrail/timeline"
)

// Alert gives the alert of a finding. A template of the rule that fails gives
// way to the kind's own words, and the text says so.
func (f *Finding) Alert() timeline.Alert {
	t, r := &f.Track, f.Rule
	a := timeline.Alert{
		ID: t.AlertID(), Rule: r.Name, Severity: r.Severity, State: t.State, Namespace: t.Labels[match.Namespace],
		TaskType: t.Labels[match.Type], Queue: t.Labels[match.Queue], Agent: t.Labels[match.Agent], Provider: t.Labels[match.Provider],
		UserID: t.Labels[match.User], TaskID: t.TaskID, Condition: t.Condition, Value: t.Value, Text: t.Text, Runbook: r.Runbook,
		StartsAt: t.Since.UTC(), UpdatedAt: t.Since.UTC(), Title: f.title(), Labels: map[string]string{"kind": string(r.Kind)},
	}
	if t.Detail != "" {
		a.Labels["fingerprint"] = t.Detail
	}
	if r.Repeat > 0 {
		a.Labels["repeat"] = r.Repeat.String()
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
