package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	// resumeWait is how long a resumed stream waits for the store to show the last
	// event its reader saw: live messages run ahead of the store.
	resumeWait  = 3 * time.Second
	resumeEvery = 100 * time.Millisecond
	// resumeSkew is how far back a resumed stream looks beyond that event: events of
	// other tasks may have been stored out of order.
	resumeSkew = 10 * time.Second
	// snapshotRows bounds the tasks of one snapshot or resumption.
	snapshotRows = maxLimit
)

// liveMessage is what is published on a channel.
type liveMessage struct {
	Topic string          `json:"topic"`
	Event *liveEvent      `json:"event"`
	Task  json.RawMessage `json:"task"`
	Alert *timeline.Alert `json:"alert"`
}

// liveEvent is an event with the type of its task, whose own name in JSON the
// event's type has.
type liveEvent struct {
	timeline.Event
	TaskType string `json:"task_type"`
}

// take puts one message into the inbox, for each topic it belongs to and whose
// reader may see it.
func (st *stream) take(raw []byte) error {
	var m liveMessage
	if err := json.Unmarshal(raw, &m); err != nil || (m.Event == nil && m.Alert == nil) {
		return errUnreadable
	}
	shown := false
	for i := range st.topics {
		t := &st.topics[i]
		if !slices.Contains(t.channels, m.Topic) {
			continue
		}
		switch {
		case m.Alert != nil && t.shows(st.scope, m.Alert.Namespace, m.Alert.UserID):
			st.inbox.putAlert(alertUpdate{t.name, *m.Alert})
			shown = true
		case m.Event != nil && t.shows(st.scope, m.Event.Namespace, m.Event.UserID) && (t.task == "" || t.task == m.Event.Task.ID):
			e := m.Event.Event
			e.Task.Type = m.Event.TaskType
			st.inbox.put(t.name, viewEvent(e, false), m.Task)
			shown = true
		}
	}
	if !shown {
		return errUnreadable
	}
	return nil
}

// send writes one event of the stream.
func (st *stream) send(kind, id string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode %s: %w", kind, err)
	}
	text := make([]byte, 0, len(b)+len(kind)+len(id)+32)
	if id != "" {
		text = append(append(append(text, "id: "...), id...), '\n')
	}
	text = append(append(append(text, "event: "...), kind...), "\ndata: "...)
	text = append(append(text, b...), "\n\n"...)
	return st.raw(string(text))
}

// flush writes what may be written, and says when to look again.
func (st *stream) flush() (time.Duration, error) {
	due, alerts, missed, next := st.inbox.takeDue(time.Now())
	if missed > 0 {
		st.s.metrics.missed.Add(float64(missed))
		if err := st.send("missed", "", map[string]int{"missed": missed}); err != nil {
			return 0, err
		}
	}
	for _, u := range due {
		if err := st.sendUpdate(u); err != nil {
			return 0, err
		}
	}
	for _, a := range alerts {
		if err := st.send("alert", "", a); err != nil {
			return 0, err
		}
	}
	return next, nil
}

func (st *stream) sendUpdate(u *update) error {
	id := ""
	for i := len(u.Events) - 1; i >= 0 && id == ""; i-- {
		// Live data is not stored: no reader can resume behind it.
		if e := &u.Events[i]; !e.Type.Live() && !e.ID.IsZero() {
			id = st.s.streamID(&e.Event)
		}
	}
	return st.send("update", id, u)
}

// begin sends what the reader lacks: what it missed since lastID where that can
// be known, else everything.
func (st *stream) begin(ctx context.Context, lastID string) error {
	if lastID == "" {
		return st.snapshot(ctx)
	}
	updates, err := st.missedSince(ctx, lastID)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return st.reset(ctx, err.Error())
	}
	for i := range updates {
		if err := st.sendUpdate(&updates[i]); err != nil {
			return err
		}
	}
	return nil
}

// reset tells the reader that it missed something that cannot be told, and sends
// everything anew.
func (st *stream) reset(ctx context.Context, why string) error {
	st.inbox.clear()
	if err := st.send("reset", "", map[string]string{"reason": why}); err != nil {
		return err
	}
	return st.snapshot(ctx)
}

// topicSnapshot is one topic of a "snapshot".
type topicSnapshot struct {
	Topic string `json:"topic"`
	// Task is null where there is no such task yet.
	Task *taskView `json:"task,omitempty"`
	// Tasks are the active ones.
	Tasks []taskView `json:"tasks,omitempty"`
	// Truncated: there are more active tasks than stand here.
	Truncated bool `json:"truncated,omitempty"`
}

func (st *stream) snapshot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, st.s.cfg.QueryTimeout)
	defer cancel()
	body := struct {
		Topics []topicSnapshot `json:"topics"`
	}{Topics: []topicSnapshot{}}
	for i := range st.topics {
		t := &st.topics[i]
		row := topicSnapshot{Topic: t.name}
		switch {
		case t.task != "":
			snap, err := st.s.task(ctx, st.scope, t.task)
			if err != nil && !errors.Is(err, readmodel.ErrNotFound) {
				return fmt.Errorf("snapshot: %w", err)
			}
			if err == nil {
				v := taskRow(snap)
				row.Task = &v
			}
		case !t.alerts():
			rows, err := st.s.deps.Reader.Tasks(ctx, st.scope, readmodel.TaskFilter{Active: true, UserID: t.user}, readmodel.Page{Limit: snapshotRows})
			if err != nil {
				return fmt.Errorf("snapshot: %w", err)
			}
			for _, r := range rows.Rows {
				row.Tasks = append(row.Tasks, taskRow(r))
			}
			row.Truncated = rows.Next != nil
		}
		body.Topics = append(body.Topics, row)
	}
	return st.send("snapshot", "", body)
}

func (t *topic) alerts() bool { return t.name == timeline.TopicAlerts }

// missedSince reads what a reader that saw lastID has missed. An error says why
// that cannot be known.
func (st *stream) missedSince(ctx context.Context, lastID string) ([]update, error) {
	at, eventID, taskID, ok := st.s.parseStreamID(lastID)
	if !ok {
		return nil, errors.New("the last event's id is not one of ours")
	}
	if slices.ContainsFunc(st.topics, func(t topic) bool { return t.alerts() }) {
		return nil, errors.New("alerts that were missed cannot be told")
	}
	ctx, cancel := context.WithTimeout(ctx, resumeWait)
	defer cancel()
	seen, err := st.waitFor(ctx, taskID, eventID)
	if err != nil {
		return nil, errors.New("the store does not show the last event")
	}
	var updates []update
	for i := range st.topics {
		t := &st.topics[i]
		if t.task != "" {
			u, err := st.missedOfTask(ctx, t, taskID, seen, eventID, at)
			if err != nil {
				return nil, err
			}
			if len(u.Events) > 0 {
				updates = append(updates, u)
			}
			continue
		}
		rows, err := st.s.deps.Reader.Tasks(ctx, st.scope, readmodel.TaskFilter{UserID: t.user, Updated: readmodel.Range{From: at.Add(-resumeSkew)}}, readmodel.Page{Limit: snapshotRows})
		if err != nil || rows.Next != nil {
			return nil, errors.New("too much was missed")
		}
		for j := range rows.Rows {
			v := taskRow(rows.Rows[j])
			updates = append(updates, update{Topic: t.name, TaskID: v.Task.ID, Events: []eventView{}, Row: &v})
		}
	}
	return updates, nil
}

// waitFor reads the task's events until the one is among them.
func (st *stream) waitFor(ctx context.Context, taskID string, eventID timeline.ID) ([]timeline.Event, error) {
	for {
		events, err := st.s.events(ctx, st.scope, taskID)
		if err != nil && !errors.Is(err, readmodel.ErrNotFound) {
			return nil, err
		}
		if slices.ContainsFunc(events, func(e timeline.Event) bool { return e.ID == eventID }) {
			return events, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(resumeEvery):
		}
	}
}

// missedOfTask are the events of one task that stand or arrived after the last
// one its reader saw.
func (st *stream) missedOfTask(ctx context.Context, t *topic, taskID string, events []timeline.Event, eventID timeline.ID, at time.Time) (update, error) {
	u := update{Topic: t.name, TaskID: t.task, Events: []eventView{}}
	since, from := at.Add(-resumeSkew), -1
	if t.task != taskID {
		var err error
		if events, err = st.s.events(ctx, st.scope, t.task); err != nil && !errors.Is(err, readmodel.ErrNotFound) {
			return u, errors.New("the store cannot be read")
		}
	} else {
		from = slices.IndexFunc(events, func(e timeline.Event) bool { return e.ID == eventID })
		since = at
	}
	for i := range events {
		e := events[i]
		if (from >= 0 && i > from) || (e.ID != eventID && arrival(&e).After(since)) {
			u.Events = append(u.Events, viewEvent(e, false))
		}
	}
	if n := len(events); n > 0 {
		if snap, ok := timeline.Fold(events); ok {
			v := taskRow(snap)
			u.Row = &v
		}
	}
	return u, nil
}

// arrival is when an event became known here.
func arrival(e *timeline.Event) time.Time {
	if !e.IngestedAt.IsZero() {
		return e.IngestedAt
	}
	return e.OccurredAt
}
