package querytest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Channel implements query.AlertSettings: a channel needs a type, its URL is
// sealed by being turned round, and a webhook gets a secret.
func (o *Operations) Channel(namespace, name string, body json.RawMessage, before *timeline.ChannelSetting, rotate bool) (v timeline.ChannelSetting, secret string, err error) {
	var all map[string]any
	if err := json.Unmarshal(body, &all); err != nil {
		return v, "", &timeline.FieldError{Want: "one JSON object"}
	}
	for field, value := range all {
		text, is := value.(string)
		ok := is && len(text) < 2_000
		switch field {
		case "name", "routing_key":
			ok = ok && text != ""
		case "url":
			ok = ok && strings.HasPrefix(text, "https://")
		case "secrets":
			_, ok = value.([]any)
		case "type":
			ok = slices.Contains([]string{"webhook", "alertmanager", "slack", "pagerduty"}, text)
		case "min_severity":
			_, ok = timeline.ParseAlertSeverity(text)
		default:
			ok = false
		}
		if !ok {
			return v, "", &timeline.FieldError{Field: field, Want: "want something else"}
		}
	}
	kind, _ := all["type"].(string)
	url, _ := all["url"].(string)
	switch {
	case kind == "":
		return v, "", &timeline.FieldError{Field: "type", Want: "want webhook, alertmanager, slack or pagerduty"}
	case url == "" && before == nil:
		return v, "", &timeline.FieldError{Field: "url", Want: "want https://host/path"}
	case url != "":
		v.Sealed = []byte(url)
		slices.Reverse(v.Sealed)
	default:
		v.Sealed = before.Sealed
	}
	delete(all, "url")
	v.Host = "hooks.example.com"
	if v.Config, err = json.Marshal(all); err != nil {
		return v, "", err
	}
	if kind == "webhook" && (before == nil || rotate) {
		secret = "whsec_" + namespace + "+" + name
	}
	return v, secret, nil
}

// Rule implements query.AlertSettings: a rule needs a kind.
func (o *Operations) Rule(_ string, body json.RawMessage) error {
	var r struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(body, &r); err != nil || !slices.Contains([]string{"failure_rate", "lost_tasks", "consecutive_failures"}, r.Kind) {
		return &timeline.FieldError{Field: "kind", Want: "want one of the kinds"}
	}
	return nil
}

// TryRule implements query.AlertSettings: every rule would have fired once.
func (o *Operations) TryRule(_ context.Context, _ string, _ json.RawMessage, from, to time.Time) (readmodel.RuleTrial, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return readmodel.RuleTrial{
		From: from, To: to, Events: 7, Held: 1,
		Firings: []readmodel.RuleFiring{{FiredAt: from.Add(time.Hour), EndedAt: from.Add(2 * time.Hour), Severity: timeline.AlertHigh, Title: "too many", Text: "3 of 4 runs failed"}},
	}, o.Err
}
