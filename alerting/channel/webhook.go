package channel

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	hooks "github.com/tasktrail/tasktrail/internal/webhook"
	"github.com/tasktrail/tasktrail/timeline"
)

// webhook calls a URL as Standard Webhooks (1.0) says.
type webhook struct {
	*caller
	keys [][]byte
	body func(n *Notification) ([]byte, error)
}

// webhookBody is the JSON body of a call.
type webhookBody struct {
	// Type is alert.firing, alert.resolved or alert.test.
	Type      string         `json:"type"`
	Timestamp time.Time      `json:"timestamp"`
	Data      timeline.Alert `json:"data"`
	// Alerts are all alerts of a group, Data the first of them.
	Alerts []timeline.Alert `json:"alerts,omitempty"`
	// Link leads to the task, or to the alerts.
	Link string `json:"link,omitempty"`
}

func newWebhook(c Config, links Links) (*webhook, error) {
	w := &webhook{caller: newCaller(c)}
	for i, s := range c.Secrets {
		key, err := hooks.ParseSecret(s)
		if err != nil {
			return nil, fmt.Errorf("secrets[%d]: %w", i, err)
		}
		w.keys = append(w.keys, key)
	}
	if c.Body == BodyAlertmanager {
		w.body = func(n *Notification) ([]byte, error) { return json.Marshal(receiverBody(c.Name, c.GroupBy, links, n)) }
	} else {
		w.body = func(n *Notification) ([]byte, error) { return json.Marshal(standardBody(n, links)) }
	}
	return w, nil
}

func standardBody(n *Notification, links Links) webhookBody {
	b := webhookBody{Type: "alert." + string(n.Alert.State), Timestamp: n.CreatedAt, Data: n.Alert, Link: links.Alert(&n.Alert)}
	if n.Alert.Rule == TestRule {
		b.Type = "alert.test"
	}
	if n.Group != "" {
		b.Alerts = n.Alerts()
	}
	return b
}

// Notify makes the call.
func (w *webhook) Notify(ctx context.Context, n Notification) error {
	body, err := w.body(&n)
	if err != nil {
		return &DeliveryError{Permanent: true, Err: fmt.Errorf("encode: %w", err)}
	}
	id, now := n.ID.String(), time.Now()
	header := http.Header{}
	header.Set(hooks.HeaderID, id)
	header.Set(hooks.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	if len(w.keys) > 0 {
		header.Set(hooks.HeaderSignature, hooks.Sign(w.keys, id, now, body))
	}
	return w.post(ctx, w.url, body, header)
}
