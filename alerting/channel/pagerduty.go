package channel

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// pagerDuty sends events of the Events API v2. The alert's id is the dedup key,
// so that a repeat changes an incident and opens none.
type pagerDuty struct {
	*caller
	key   string
	links Links
}

type pdEvent struct {
	RoutingKey  string     `json:"routing_key"`
	EventAction string     `json:"event_action"` // trigger, resolve
	DedupKey    string     `json:"dedup_key"`
	Payload     *pdPayload `json:"payload,omitempty"`
	Links       []pdLink   `json:"links,omitempty"`
	Client      string     `json:"client,omitempty"`
	ClientURL   string     `json:"client_url,omitempty"`
}

type pdPayload struct {
	Summary   string    `json:"summary"`
	Source    string    `json:"source"`
	Severity  string    `json:"severity"`
	Timestamp time.Time `json:"timestamp"`
	Component string    `json:"component,omitempty"`
	Group     string    `json:"group,omitempty"`
	Class     string    `json:"class,omitempty"`
	Details   any       `json:"custom_details,omitempty"`
}

type pdLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// maxSummary is PagerDuty's own bound.
const maxSummary = 1_024

func (p *pagerDuty) event(a *timeline.Alert) pdEvent {
	e := pdEvent{RoutingKey: p.key, EventAction: "trigger", DedupKey: a.ID.String(), Client: "Tasktrail", ClientURL: p.links.Base}
	if a.State == timeline.AlertResolved {
		e.EventAction = "resolve"
	} else if a.AcknowledgedBy != "" {
		e.EventAction = "acknowledge"
	}
	severity := map[timeline.AlertSeverity]string{timeline.AlertCritical: "critical", timeline.AlertHigh: "error"}[a.Severity]
	if severity == "" {
		severity = "warning"
	}
	e.Payload = &pdPayload{
		Summary: strings.ToValidUTF8(a.Title[:min(len(a.Title), maxSummary)], ""), Source: strings.Join(nonEmpty("tasktrail", a.Namespace), "/"),
		Severity: severity, Timestamp: a.StartsAt, Component: a.Provider, Group: a.Queue, Class: a.Rule, Details: a,
	}
	if e.Payload.Summary == "" {
		e.Payload.Summary = a.Rule
	}
	if link := p.links.Alert(a); link != "" {
		e.Links = append(e.Links, pdLink{link, "Open in Tasktrail"})
	}
	if a.Runbook != "" {
		e.Links = append(e.Links, pdLink{a.Runbook, "Runbook"})
	}
	return e
}

// Notify sends an event for each alert; one that was sent before an error is
// sent again with the same key, which changes nothing.
func (p *pagerDuty) Notify(ctx context.Context, n Notification) error {
	for _, a := range n.Alerts() {
		body, err := json.Marshal(p.event(&a))
		if err != nil {
			return &DeliveryError{Permanent: true, Err: fmt.Errorf("encode: %w", err)}
		}
		if err := p.post(ctx, p.url, body, nil); err != nil {
			return err
		}
	}
	return nil
}
