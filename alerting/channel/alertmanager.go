package channel

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// amAlert is an alert of Alertmanager's API v2 and of its webhook.
type amAlert struct {
	Status       string            `json:"status,omitempty"` // webhook alone
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
	Fingerprint  string            `json:"fingerprint,omitempty"` // webhook alone
}

// labelsOf are what Alertmanager tells alerts apart by: they stay the same as
// long as the alert does. What changes with a run is an annotation.
func labelsOf(a *timeline.Alert) map[string]string {
	l := map[string]string{"alertname": a.Rule, "severity": a.Severity.String(), "namespace": a.Namespace, "alert_id": a.ID.String()}
	for name, v := range map[string]string{
		"task_id": a.TaskID, "task_type": a.TaskType, "queue": a.Queue, "agent": a.Agent, "provider": a.Provider,
		"user_id": a.UserID, "condition": a.Condition,
	} {
		if v != "" {
			l[name] = v
		}
	}
	return l
}

func annotationsOf(a *timeline.Alert) map[string]string {
	n := map[string]string{"summary": a.Title}
	for name, v := range map[string]string{
		"description": a.Text, "reason": string(a.Reason), "runbook_url": a.Runbook,
		"amount": strings.TrimSpace(a.Amount + " " + a.Currency),
	} {
		if v != "" {
			n[name] = v
		}
	}
	if a.Runs > 0 {
		n["runs"] = strconv.Itoa(a.Runs)
	}
	return n
}

func amOf(a *timeline.Alert, links Links) amAlert {
	return amAlert{Labels: labelsOf(a), Annotations: annotationsOf(a), StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: links.Alert(a)}
}

// receiverMessage is what Alertmanager posts to a webhook, version 4.
type receiverMessage struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []amAlert         `json:"alerts"`
}

func receiverBody(name string, groupBy []string, links Links, n *Notification) receiverMessage {
	m := receiverMessage{Version: "4", GroupKey: n.Group, Status: "resolved", Receiver: name, ExternalURL: links.Base, GroupLabels: map[string]string{}}
	if m.GroupKey == "" {
		m.GroupKey = n.Alert.ID.String()
	}
	if n.Firing() {
		m.Status = "firing"
	}
	for i, a := range n.Alerts() {
		am := amOf(&a, links)
		am.Status, am.Fingerprint = string(a.State), a.ID.String()
		m.Alerts = append(m.Alerts, am)
		if i == 0 {
			m.CommonLabels, m.CommonAnnotations = labelsOf(&a), annotationsOf(&a)
			continue
		}
		keepCommon(m.CommonLabels, am.Labels)
		keepCommon(m.CommonAnnotations, am.Annotations)
	}
	for _, by := range groupBy {
		name := map[string]string{"rule": "alertname", "type": "task_type", "user": "user_id"}[by]
		if name == "" {
			name = by
		}
		if v, ok := m.CommonLabels[name]; ok {
			m.GroupLabels[name] = v
		}
	}
	return m
}

func keepCommon(common, other map[string]string) {
	for k, v := range common {
		if other[k] != v {
			delete(common, k)
		}
	}
}

// alertmanager forwards to an Alertmanager's API.
type alertmanager struct {
	*caller
	links  Links
	repeat time.Duration
}

// Notify posts the alerts. One that fires is given an end a while after it would
// be told again, so that it is over at the Alertmanager too if we fall silent.
func (m *alertmanager) Notify(ctx context.Context, n Notification) error {
	var alerts []amAlert
	for _, a := range n.Alerts() {
		am := amOf(&a, m.links)
		if a.State != timeline.AlertResolved {
			am.EndsAt = time.Now().Add(24 * time.Hour)
			if m.repeat > 0 {
				am.EndsAt = time.Now().Add(3*m.repeat + 5*time.Minute)
			}
		} else if am.EndsAt.Before(am.StartsAt) {
			am.EndsAt = am.StartsAt // it refuses an end before the beginning
		}
		alerts = append(alerts, am)
	}
	body, err := json.Marshal(alerts)
	if err != nil {
		return &DeliveryError{Permanent: true, Err: fmt.Errorf("encode: %w", err)}
	}
	return m.post(ctx, strings.TrimRight(m.url, "/")+"/api/v2/alerts", body, nil)
}
