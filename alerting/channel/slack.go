package channel

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tasktrail/tasktrail/timeline"
)

// maxSlackAlerts bounds the alerts that one message shows.
const maxSlackAlerts = 20

// slack posts to an incoming webhook.
type slack struct {
	*caller
	links Links
}

type slackMessage struct {
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color    string `json:"color"`
	Fallback string `json:"fallback"`
	Title    string `json:"title"`
	Link     string `json:"title_link,omitempty"`
	Text     string `json:"text,omitempty"`
	Footer   string `json:"footer,omitempty"`
	At       int64  `json:"ts"`
}

// slackEscape is Slack's own rule: these three and no other.
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func slackText(s string, most int) string {
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return slackEscape.Replace(s)
}

func (s *slack) message(n *Notification) slackMessage {
	alerts := n.Alerts()
	firing := 0
	for _, a := range alerts {
		if a.State == timeline.AlertFiring {
			firing++
		}
	}
	m := slackMessage{Text: slackText(headline(&n.Alert), 300)}
	if len(alerts) > 1 {
		m.Text = fmt.Sprintf("%d alerts firing, %d resolved", firing, len(alerts)-firing)
	}
	for i, a := range alerts {
		if i == maxSlackAlerts {
			m.Text += fmt.Sprintf(" (%d more)", len(alerts)-i)
			break
		}
		color := map[timeline.AlertSeverity]string{timeline.AlertCritical: "#c4314b", timeline.AlertHigh: "#e97548", timeline.AlertMedium: "#e5b567"}[a.Severity]
		if a.State == timeline.AlertResolved {
			color = "#3aa55c"
		}
		title := headline(&a)
		m.Attachments = append(m.Attachments, slackAttachment{
			Color: color, Fallback: slackText(title, 300), Title: slackText(title, 300), Link: s.links.Alert(&a), Text: slackText(a.Text, 2_000),
			Footer: slackText(strings.Join(nonEmpty(a.Namespace, a.Rule, a.Queue, a.Provider, strings.TrimSpace(a.Amount+" "+a.Currency)), " · "), 300),
			At:     a.UpdatedAt.Unix(),
		})
	}
	return m
}

// headline says state and severity before the title.
func headline(a *timeline.Alert) string {
	word := strings.ToUpper(a.Severity.String())
	if a.State == timeline.AlertResolved {
		word = "RESOLVED"
	}
	return "[" + word + "] " + a.Title
}

func nonEmpty(words ...string) (out []string) {
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

// Notify posts the message.
func (s *slack) Notify(ctx context.Context, n Notification) error {
	body, err := json.Marshal(s.message(&n))
	if err != nil {
		return &DeliveryError{Permanent: true, Err: fmt.Errorf("encode: %w", err)}
	}
	return s.post(ctx, s.url, body, nil)
}
