package query

import (
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// A view is what a reader is shown of a row. What the token may not see, and what
// a list leaves out, is taken away here, in one place, and its name stands in
// "omitted": nobody takes a missing input for a task without one.

// taskView is a folded task.
type taskView struct {
	timeline.Snapshot
	Omitted []string `json:"omitted,omitempty"`
}

// deadLetterView is a dead letter in full context.
type deadLetterView struct {
	timeline.DeadLetter
	// SealedInput: the original input travels encrypted for agents, since what is
	// shown was redacted or cut.
	SealedInput bool     `json:"sealed_input,omitempty"`
	Omitted     []string `json:"omitted,omitempty"`
}

// eventView is an entry of a timeline.
type eventView struct {
	timeline.Event
	// TaskType is the type of the task: "type" is the event's.
	TaskType string   `json:"task_type,omitempty"`
	Omitted  []string `json:"omitted,omitempty"`
}

// hidePayloads takes the payloads of a task away and names what it took.
func hidePayloads(t *timeline.Task) (omitted []string) {
	if len(t.Input) > 0 {
		t.Input = nil
		omitted = append(omitted, "input")
	}
	if len(t.Output) > 0 {
		t.Output = nil
		omitted = append(omitted, "output")
	}
	return omitted
}

func viewTask(s timeline.Snapshot, payload bool) taskView {
	v := taskView{Snapshot: s}
	if !payload {
		v.Omitted = hidePayloads(&v.Task)
	}
	return v
}

// taskRow is a task in a list: without payloads, whoever asks.
func taskRow(s timeline.Snapshot) taskView { return viewTask(s, false) }

func viewDeadLetter(d timeline.DeadLetter, payload bool) deadLetterView {
	v := deadLetterView{DeadLetter: d, SealedInput: len(d.Sealed) > 0}
	if !payload {
		v.Omitted = hidePayloads(&v.Task)
	}
	return v
}

// deadLetterRow is a dead letter in a list: without payloads, whoever asks.
func deadLetterRow(d timeline.DeadLetter) deadLetterView { return viewDeadLetter(d, false) }

// viewEvent never changes what e points to: readers and the overlay share it.
func viewEvent(e timeline.Event, payload bool) eventView {
	v := eventView{Event: e, TaskType: e.Task.Type}
	if payload {
		return v
	}
	v.Omitted = hidePayloads(&v.Task)
	if e.DeadLetter != nil && len(e.DeadLetter.Sealed) > 0 {
		ref := *e.DeadLetter
		ref.Sealed = nil
		v.DeadLetter = &ref
		v.Omitted = append(v.Omitted, "dead_letter.sealed")
	}
	if e.Operator != nil && len(e.Operator.InputPatch) > 0 {
		op := *e.Operator
		op.InputPatch = nil
		v.Operator = &op
		v.Omitted = append(v.Omitted, "operator.input_patch")
	}
	return v
}

// healthView is a namespace's health, or for one user's token that user's part of
// it.
type healthView struct {
	readmodel.Health
	Omitted []string `json:"omitted,omitempty"`
}

func viewHealth(h readmodel.Health, restricted bool) healthView {
	v := healthView{Health: h}
	if restricted {
		v.Queues, v.ActiveBreakers, v.QueueDepth = nil, nil, 0
		v.Omitted = []string{"queue_depth", "queues", "active_circuit_breakers"}
	}
	if v.Queues == nil {
		v.Queues = []readmodel.QueueDepth{}
	}
	if v.ActiveBreakers == nil {
		v.ActiveBreakers = []readmodel.ActiveBreaker{}
	}
	tasks := make(map[timeline.State]int64, len(timeline.States()))
	for _, s := range timeline.States() {
		tasks[s] = h.Tasks[s]
	}
	v.Tasks = tasks
	return v
}
