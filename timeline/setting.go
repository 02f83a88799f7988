package timeline

import (
	"encoding/json"
	"strconv"
	"time"
)

// The kinds of settings, each with the room that gives its body a meaning.
const (
	SettingSilence    = "silence"     // alerting: alerts that are not to be sent
	SettingChannel    = "channel"     // alerting: where alerts go
	SettingRule       = "rule"        // alerting: a rule beside the built-in ones
	SettingAlertState = "alert_state" // alerting: an alert's acknowledgement
	SettingBulk       = "bulk"        // query: a bulk action and what became of it
	SettingErrorGroup = "error_group" // query: a group of errors that is resolved or ignored
	SettingRequeueURL = "requeue_url" // live: where a queue's retries are posted
	SettingKey        = "key"         // query: an API key, hashed
	SettingAudit      = "audit"       // query: one call that changed something; kept as long as timelines are
)

// MaxSettingBytes bounds the body of a setting.
const MaxSettingBytes = 256 << 10

// Setting is one version of something an operator set. What is in force is the
// highest version of its kind and id in its namespace; a deleted one is not.
type Setting struct {
	// Kind and ID name it within its namespace, 1 to 255 bytes each.
	Kind string `json:"kind"`
	ID   string `json:"id"`
	// Version rises with every change; see [NextVersion].
	Version uint64 `json:"version"`
	Deleted bool   `json:"deleted,omitempty"`
	// Body is a JSON value of the kind's own form, [MaxSettingBytes] at most. It
	// holds no secret in the clear: whoever may read settings reads it.
	Body json.RawMessage `json:"body,omitempty"`
}

// StoredSetting is a setting as it was read back: who set it, and when.
type StoredSetting struct {
	Namespace string `json:"namespace"`
	Setting
	Operator  Operator  `json:"operator,omitzero"`
	ChangedAt time.Time `json:"changed_at"`
}

// NextVersion is the version of a change at the time now of what stands at
// version before (0 for none): the time in microseconds, so that writers that do
// not know of one another rarely clash, and always more than before.
func NextVersion(before uint64, now time.Time) uint64 {
	return max(before+1, uint64(max(now.UnixMicro(), 1)))
}

// NewSettingEvent is the event that puts a setting in force. Its id is derived
// from the namespace, the kind, the id and the version: writing it twice is
// writing it once. Of two that carry one version readers see one, the later.
func NewSettingEvent(namespace string, s Setting, by Operator, at time.Time) Event {
	if namespace == "" {
		namespace = DefaultNamespace
	}
	return Event{
		ID:         DeriveID("setting", namespace, s.Kind, s.ID, strconv.FormatUint(s.Version, 10)),
		Type:       SettingChanged,
		Severity:   SettingChanged.Severity(),
		Task:       Task{Namespace: namespace},
		OccurredAt: at,
		Operator:   &by,
		Setting:    &s,
	}
}
