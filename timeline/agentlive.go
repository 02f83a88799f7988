package timeline

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Limits on one AgentLive.
const (
	MaxLiveTasks  = 10_000 // tasks
	MaxLiveQueues = 1_000  // queues, and queue_depths
)

// AgentLive is the live data an agent sends beside its events: that it is there,
// what it is running and how far that is. It is published and kept for the
// active tasks, never stored in a log; each one replaces the last.
type AgentLive struct {
	// SourceID names the agent's spool, as in its events.
	SourceID string `json:"source_id"`
	Agent    string `json:"agent,omitempty"`
	// Namespace is the one the agent's token is bound to. A receiver sets it; what
	// a sender wrote here counts only where its token allows several.
	Namespace string `json:"namespace,omitempty"`
	// Queues are those whose commands the agent takes.
	Queues []string   `json:"queues,omitempty"`
	Tasks  []LiveTask `json:"tasks,omitempty"`
	// QueueDepths come from the runner's own counters.
	QueueDepths []LiveQueueDepth `json:"queue_depths,omitempty"`
	// At is the sender's clock; a receiver fills in its own where it is zero.
	At time.Time `json:"at,omitzero"`
}

// LiveTask is one running task as its agent sees it: a heartbeat, and progress
// where the executor reported some.
type LiveTask struct {
	// Namespace of the task; empty means that of the AgentLive.
	Namespace string `json:"namespace,omitempty"`
	TaskID    string `json:"task_id"`
	Run       int    `json:"run"`
	Attempt   int    `json:"attempt"`
	Type      string `json:"type,omitempty"`
	Queue     string `json:"queue,omitempty"`
	UserID    string `json:"user_id,omitempty"`
	// Progress is nil where none was reported since the attempt began.
	Progress *Progress `json:"progress,omitempty"`
}

// LiveQueueDepth is how much waits in one queue of the runner.
type LiveQueueDepth struct {
	Queue   string `json:"queue"`
	Pending int64  `json:"pending"`
	// OldestAt is when the oldest pending task was enqueued; zero where not known.
	OldestAt time.Time `json:"oldest_at,omitzero"`
}

// Validate reports the first field that breaks a limit, as a *FieldError.
func (l *AgentLive) Validate() error {
	switch {
	case l.SourceID == "":
		return &FieldError{"source_id", "must not be empty"}
	case len(l.Tasks) > MaxLiveTasks:
		return &FieldError{"tasks", fmt.Sprintf("%d tasks, the limit is %d", len(l.Tasks), MaxLiveTasks)}
	case len(l.Queues) > MaxLiveQueues:
		return &FieldError{"queues", fmt.Sprintf("%d queues, the limit is %d", len(l.Queues), MaxLiveQueues)}
	case len(l.QueueDepths) > MaxLiveQueues:
		return &FieldError{"queue_depths", fmt.Sprintf("%d queues, the limit is %d", len(l.QueueDepths), MaxLiveQueues)}
	}
	for _, f := range [...]struct{ name, value string }{
		{"source_id", l.SourceID}, {"agent", l.Agent}, {"namespace", l.Namespace},
	} {
		if err := validName(f.name, f.value); err != nil {
			return err
		}
	}
	for _, q := range l.Queues {
		if err := validName("queues", q); err != nil {
			return err
		}
	}
	for i := range l.QueueDepths {
		if err := validName("queue_depths.queue", l.QueueDepths[i].Queue); err != nil {
			return err
		}
	}
	for i := range l.Tasks {
		t := &l.Tasks[i]
		if t.TaskID == "" {
			return &FieldError{"tasks.task_id", "must not be empty"}
		}
		for _, f := range [...]struct{ name, value string }{
			{"tasks.task_id", t.TaskID}, {"tasks.namespace", t.Namespace}, {"tasks.type", t.Type},
			{"tasks.queue", t.Queue}, {"tasks.user_id", t.UserID},
		} {
			if err := validName(f.name, f.value); err != nil {
				return err
			}
		}
		if t.Progress != nil && len(t.Progress.Message) > MaxMessageBytes {
			return &FieldError{"tasks.progress.message", fmt.Sprintf("%d bytes, the limit is %d", len(t.Progress.Message), MaxMessageBytes)}
		}
	}
	return nil
}

func validName(field, value string) error {
	if len(value) > MaxNameBytes {
		return &FieldError{field, fmt.Sprintf("%d bytes, the limit is %d", len(value), MaxNameBytes)}
	}
	if !utf8.ValidString(value) {
		return &FieldError{field, "must be valid UTF-8"}
	}
	return nil
}
