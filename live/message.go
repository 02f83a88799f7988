package live

import (
	"encoding/json"
	"fmt"

	"github.com/tasktrail/tasktrail/timeline"
)

// maxMessageBytes bounds one message; a longer one is left out and counted.
const maxMessageBytes = 512 << 10

// EventMessage is the JSON object published on the topics of tasks and users.
type EventMessage struct {
	// V is the version of the form, 1.
	V     int    `json:"v"`
	Topic string `json:"topic"`
	// Event is without input, output and what stands for them.
	Event PublishedEvent `json:"event"`
	Task  TaskState      `json:"task"`
}

// PublishedEvent is a timeline event with the type of its task beside it: there
// "type" is the event's own.
type PublishedEvent struct {
	timeline.Event
	TaskType string `json:"task_type,omitempty"`
}

// TaskState is what the publisher knows of the task after the event. What it
// does not know is left out.
type TaskState struct {
	// Type is the task's type: in the event that name stands for the event's own.
	Type     string             `json:"type,omitempty"`
	State    timeline.State     `json:"state,omitempty"`
	Run      int                `json:"run,omitempty"`
	Attempt  int                `json:"attempt,omitempty"`
	Progress *timeline.Progress `json:"progress,omitempty"`
}

// AlertMessage is the JSON object published on alerts:{severity}.
type AlertMessage struct {
	V     int            `json:"v"`
	Topic string         `json:"topic"`
	Alert timeline.Alert `json:"alert"`
}

// body is a message without its topic, encoded once for all its topics.
type body []byte

func eventBody(e *timeline.Event, s TaskState) (body, error) {
	event := *e
	event.Input, event.Output = nil, nil
	if event.DeadLetter != nil && event.DeadLetter.Sealed != nil {
		ref := *event.DeadLetter
		ref.Sealed = nil
		event.DeadLetter = &ref
	}
	if event.Operator != nil && event.Operator.InputPatch != nil {
		op := *event.Operator
		op.InputPatch = nil
		event.Operator = &op
	}
	ev, err := json.Marshal(PublishedEvent{event, event.Task.Type})
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	task, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode state of %s: %w", e.ID, err)
	}
	b := make(body, 0, len(ev)+len(task)+24)
	b = append(b, `,"event":`...)
	b = append(b, ev...)
	b = append(b, `,"task":`...)
	b = append(b, task...)
	return append(b, '}'), nil
}

// on gives the message for one topic.
func (b body) on(topic string) ([]byte, error) {
	name, err := json.Marshal(topic)
	if err != nil {
		return nil, fmt.Errorf("encode topic: %w", err)
	}
	m := make([]byte, 0, len(b)+len(name)+16)
	m = append(m, `{"v":1,"topic":`...)
	m = append(m, name...)
	return append(m, b...), nil
}

// forUser reports whether an event is told on its user's topic.
func forUser(t timeline.Type) bool {
	switch t {
	case timeline.TaskStarted, timeline.TaskCompleted, timeline.TaskFailed, timeline.TaskCancelled,
		timeline.TaskCreated, timeline.TaskLost, timeline.MovedToDLQ,
		timeline.TaskRetried, timeline.DLQRetryRequested, timeline.TaskProgress:
		return true
	}
	return false
}

// forOperators reports whether an event belongs to the lifecycle told on the
// namespace's topic: what changes a task's state or its dead letter.
func forOperators(t timeline.Type) bool {
	switch t {
	case timeline.AttemptStarted, timeline.AttemptSuccess, timeline.AttemptFailed,
		timeline.TaskProgress, timeline.TaskHeartbeat, timeline.Tombstone, timeline.SettingChanged, timeline.TypeUnknown:
		return false
	}
	return true
}
