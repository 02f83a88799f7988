package alerting

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// RedisChannel is the name of the channel over a [Publisher].
const RedisChannel = "redis"

// Publisher publishes an alert where subscribers find it.
type Publisher interface {
	// PublishAlert returns an error where the alert was not published; it is called
	// again then.
	PublishAlert(ctx context.Context, a timeline.Alert) error
}

// Notification is one call about an alert: that it began, changed or ended.
type Notification struct {
	// ID is the same each time the notification is delivered.
	ID timeline.ID `json:"id"`
	// CreatedAt is when it was decided.
	CreatedAt time.Time      `json:"created_at"`
	Alert     timeline.Alert `json:"alert"`
}

// newNotification derives the id from what is told, so that deciding it again
// after a restart gives the same one.
func newNotification(a *timeline.Alert, now time.Time) Notification {
	return Notification{
		ID: timeline.DeriveID("notification", a.ID.String(), string(a.State), strconv.Itoa(a.Run),
			strconv.FormatInt(a.UpdatedAt.UnixNano(), 10)),
		CreatedAt: now.UTC(), Alert: *a,
	}
}

// Notifier delivers notifications to one place. It is safe for concurrent use.
type Notifier interface {
	// Notify returns nil when the notification has arrived. An error that is not a
	// *DeliveryError counts as one worth another try.
	Notify(ctx context.Context, n Notification) error
}

// DeliveryError says what a failed delivery means for the next one.
type DeliveryError struct {
	// Status is the HTTP status, 0 where there was no answer.
	Status int
	// Permanent: the same notification will never be taken.
	Permanent bool
	// Gone: nothing will ever be taken there again.
	Gone bool
	// After is the shortest wait that was asked for, 0 where none was.
	After time.Duration
	Err   error
}

func (e *DeliveryError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("status %d: %v", e.Status, e.Err)
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *DeliveryError) Unwrap() error { return e.Err }

func asDelivery(err error) *DeliveryError {
	var d *DeliveryError
	if errors.As(err, &d) {
		return d
	}
	return &DeliveryError{Err: err}
}

type publisherNotifier struct{ p Publisher }

func (p publisherNotifier) Notify(ctx context.Context, n Notification) error {
	return p.p.PublishAlert(ctx, n.Alert)
}
