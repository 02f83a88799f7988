package readmodel

import "time"

// How a queue's re-enqueue URL answers.
const (
	// RequeueTaking: it took the latest call.
	RequeueTaking = "taking"
	// RequeueFailing: the latest call is made again.
	RequeueFailing = "failing"
	// RequeueRefusing: it refused the latest call for good.
	RequeueRefusing = "refusing"
)

// RequeueState is how the latest calls of a queue's re-enqueue URL went. It is live
// data: after a loss of Redis it is not known until the next call.
type RequeueState struct {
	State string `json:"state"`
	// DeliveredAt is when it last took a call.
	DeliveredAt time.Time `json:"last_delivery_at,omitzero"`
	// Error is the last failure, and ErrorAt when it was; they stay when a later call
	// is taken.
	Error   string    `json:"last_error,omitempty"`
	ErrorAt time.Time `json:"last_error_at,omitzero"`
}
