package live

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tasktrail/tasktrail/timeline"
)

// PublishAlert publishes an alert on the topic of its severity. An error means
// that Redis did not take it; whoever wants it told at least once tries again.
func (l *Live) PublishAlert(ctx context.Context, a timeline.Alert) error {
	topic := AlertsTopic(a.Namespace, a.Severity)
	m, err := json.Marshal(AlertMessage{V: 1, Topic: topic, Alert: a})
	if err != nil {
		return fmt.Errorf("encode alert %s: %w", a.ID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	if err := l.seen(l.client.Publish(ctx, topic, m).Err()); err != nil {
		l.stats.publishSkipped.Add(1)
		return fmt.Errorf("publish alert: %w", err)
	}
	l.stats.published.Add(1)
	return nil
}
