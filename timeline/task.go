package timeline

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// DefaultNamespace is the namespace of tasks that name none.
const DefaultNamespace = "default"

// Limits on what one event may carry. What passes them is refused with the name
// of the field and the limit, or cut where the field says so.
const (
	MaxTaskIDBytes    = 255       // task_id, in bytes of UTF-8
	MaxNameBytes      = 255       // namespace, type, queue, runner, agent, provider, user_id
	MaxAmountBytes    = 40        // amount as text
	MaxPayloadBytes   = 256 << 10 // input, output: cut by the agent, refused by a collector past twice this
	MaxMessageBytes   = 8 << 10   // an error's message: cut
	MaxStackBytes     = 32 << 10  // an error's stack: cut
	MaxMetadataPairs  = 64
	MaxMetadataBytes  = 4 << 10 // one value
	MaxAttributePairs = 128     // unknown attributes that are kept
)

// PaymentReference is the key of the metadata under which a task names the payment
// it belongs to: tasks that give it the same value are found by it.
const PaymentReference = "payment_reference"

// Task is one unit of work as its events describe it. Text is UTF-8; ids are
// the runner's own.
type Task struct {
	// Namespace separates tenants; empty means [DefaultNamespace].
	Namespace string `json:"namespace"`
	// ID is the runner's own id, 1 to 255 bytes.
	ID string `json:"task_id"`
	// Type is what kind of work it is, such as payment or send_email.
	Type string `json:"type,omitempty"`
	// Queue is the runner's queue.
	Queue string `json:"queue,omitempty"`
	// Runner is what runs it: asynq, river, http, exec, otlp …
	Runner string `json:"runner,omitempty"`
	// Agent is who executes it: a worker, a marketplace agent, a service.
	Agent string `json:"agent,omitempty"`
	// Provider is the dependency whose circuit breaker guards it.
	Provider string `json:"provider,omitempty"`
	// UserID is whose task it is; tokens bound to a user see that user's alone.
	UserID string `json:"user_id,omitempty"`
	// Amount is a decimal number as text, such as 12.50; never a float.
	Amount string `json:"amount,omitempty"`
	// Currency is the ISO 4217 code of Amount.
	Currency string `json:"currency,omitempty"`
	// Input and Output are payloads after redaction and cutting, JSON where the
	// bytes are JSON and a JSON string otherwise.
	Input  Payload `json:"input,omitzero"`
	Output Payload `json:"output,omitzero"`
	// Metadata is free text by free keys.
	Metadata map[string]string `json:"metadata,omitempty"`
	// MaxAttempts is how many attempts one run may take, 0 where not known.
	MaxAttempts int `json:"max_attempts,omitempty"`
}

// Payload is the bytes of an input or output. As JSON it stands as itself where
// the bytes are valid JSON, and as a string elsewhere.
type Payload []byte

// IsZero reports whether there is no payload.
func (p Payload) IsZero() bool { return len(p) == 0 }

// MarshalJSON gives the payload itself where it is JSON, else a string.
func (p Payload) MarshalJSON() ([]byte, error) {
	if len(p) == 0 {
		return []byte("null"), nil
	}
	if json.Valid(p) {
		return p, nil
	}
	return json.Marshal(strings.ToValidUTF8(string(p), "\uFFFD"))
}

// UnmarshalJSON keeps the bytes of any JSON value.
func (p *Payload) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*p = nil
		return nil
	}
	*p = append((*p)[:0], b...)
	return nil
}

// FieldError says which field of an event or a request is wrong and what is
// allowed there.
type FieldError struct {
	Field string // the wire name of the field
	Want  string // what is allowed
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Want) }

// Validate reports the first field that breaks a limit, as a *FieldError.
func (t *Task) Validate() error {
	switch {
	case t.ID == "":
		return &FieldError{"task_id", "must not be empty"}
	case len(t.ID) > MaxTaskIDBytes:
		return &FieldError{"task_id", fmt.Sprintf("%d bytes, the limit is %d", len(t.ID), MaxTaskIDBytes)}
	case len(t.Amount) > MaxAmountBytes:
		return &FieldError{"amount", fmt.Sprintf("%d bytes, the limit is %d", len(t.Amount), MaxAmountBytes)}
	case len(t.Metadata) > MaxMetadataPairs:
		return &FieldError{"metadata", fmt.Sprintf("%d pairs, the limit is %d", len(t.Metadata), MaxMetadataPairs)}
	}
	if t.Amount != "" {
		if !IsDecimal(t.Amount) {
			return &FieldError{"amount", "want a decimal number such as 12.50"}
		}
	}
	for _, f := range [...]struct{ name, value string }{
		{"task_id", t.ID}, {"namespace", t.Namespace}, {"type", t.Type}, {"queue", t.Queue}, {"runner", t.Runner},
		{"agent", t.Agent}, {"provider", t.Provider}, {"user_id", t.UserID}, {"currency", t.Currency},
	} {
		if len(f.value) > MaxNameBytes {
			return &FieldError{f.name, fmt.Sprintf("%d bytes, the limit is %d", len(f.value), MaxNameBytes)}
		}
		if !utf8.ValidString(f.value) {
			return &FieldError{f.name, "must be valid UTF-8"}
		}
		if strings.IndexByte(f.value, 0) >= 0 {
			return &FieldError{f.name, "must not contain a NUL byte"}
		}
	}
	for k, v := range t.Metadata {
		if len(k) > MaxNameBytes || len(v) > MaxMetadataBytes {
			return &FieldError{"metadata", fmt.Sprintf("a key may have %d bytes and a value %d", MaxNameBytes, MaxMetadataBytes)}
		}
	}
	return nil
}
