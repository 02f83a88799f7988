package channel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// TestRule is the rule of an alert that a test button makes.
const TestRule = "test"

// Notification is one call about an alert, or about several of one group: that
// it began, changed, goes on or ended.
type Notification struct {
	// ID is the same each time the notification is delivered.
	ID timeline.ID `json:"id"`
	// CreatedAt is when it was decided.
	CreatedAt time.Time      `json:"created_at"`
	Alert     timeline.Alert `json:"alert"`
	// More are the other alerts of the group.
	More []timeline.Alert `json:"more,omitempty"`
	// Group names the group, empty for an alert of its own.
	Group string `json:"group,omitempty"`
}

// NewNotification derives the id from what is told, so that deciding it again
// after a restart gives the same one. round counts the repeats of an alert that
// goes on.
func NewNotification(a *timeline.Alert, round int, now time.Time) Notification {
	words := []string{"notification", a.ID.String(), string(a.State), strconv.Itoa(a.Run), strconv.FormatInt(a.UpdatedAt.UnixNano(), 10)}
	if round > 0 {
		words = append(words, strconv.Itoa(round))
	}
	return Notification{ID: timeline.DeriveID(words...), CreatedAt: now.UTC(), Alert: *a}
}

// Alerts lists all alerts of the call.
func (n *Notification) Alerts() []timeline.Alert {
	return append([]timeline.Alert{n.Alert}, n.More...)
}

// Firing reports whether any of its alerts fires.
func (n *Notification) Firing() bool {
	for _, a := range n.More {
		if a.State == timeline.AlertFiring {
			return true
		}
	}
	return n.Alert.State == timeline.AlertFiring
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

// AsDelivery gives what an error of a Notifier means.
func AsDelivery(err error) *DeliveryError {
	var d *DeliveryError
	if errors.As(err, &d) {
		return d
	}
	return &DeliveryError{Err: err}
}
