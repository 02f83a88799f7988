package query

import (
	"context"
	"math"
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// events reads a task's events, those included that the store does not show yet.
func (s *Server) events(ctx context.Context, scope readmodel.Scope, taskID string) ([]timeline.Event, error) {
	events, err := s.deps.Reader.Timeline(ctx, scope, taskID)
	if err != nil {
		return nil, readFailure("read timeline", err)
	}
	if len(events) == 0 {
		return nil, readmodel.ErrNotFound
	}
	return s.overlay.merge(scope.Namespace, taskID, events), nil
}

// task reads a folded task, including what the store does not show yet.
func (s *Server) task(ctx context.Context, scope readmodel.Scope, taskID string) (timeline.Snapshot, error) {
	if !s.overlay.has(scope.Namespace, taskID) {
		snap, err := s.deps.Reader.Task(ctx, scope, taskID)
		if err != nil {
			return snap, readFailure("read task", err)
		}
		return snap, nil
	}
	events, err := s.events(ctx, scope, taskID)
	if err != nil {
		return timeline.Snapshot{}, err
	}
	snap, _ := timeline.Fold(events)
	return snap, nil
}

func (s *Server) getTask(r *request) error {
	id, err := r.taskID()
	if err != nil {
		return err
	}
	snap, err := s.task(r.ctx, r.scope, id)
	if err != nil {
		return err
	}
	return r.answer(fiber.StatusOK, viewTask(snap, r.payload()))
}

func (s *Server) getTasks(r *request) error {
	p := r.params
	names, parse := words(timeline.States())
	reasonNames, parseReason := words(timeline.FailureReasons())
	least, most := p.lasted()
	filter := readmodel.TaskFilter{
		States: enumList(p, "state", names, parse), Types: p.list("type"), Queues: p.list("queue"), Agents: p.list("agent"),
		Providers: p.list("provider"), Runners: p.list("runner"), UserID: p.text("user_id", timeline.MaxNameBytes),
		PaymentReference: p.text("payment_reference", maxTextBytes),
		TraceID:          p.traceID("trace_id"), Active: p.boolean("active"), Text: p.text("text", maxTextBytes), ErrorText: p.text("error", maxTextBytes),
		Severities:   enumList(p, "severity", []string{"medium", "high", "critical"}, timeline.ParseAlertSeverity),
		Reasons:      enumList(p, "reason", reasonNames, parseReason),
		Fingerprints: p.list("fingerprint"), MinAttempts: p.integer("min_attempts", 0, math.MaxInt32, 0),
		MinDuration: least, MaxDuration: most,
		Created: p.within("created_from", "created_to"), Updated: p.within("from", "to"),
	}
	page, hash, err := s.page(r)
	if err != nil {
		return err
	}
	if other := r.scope.UserID; other != "" && filter.UserID != "" && filter.UserID != other {
		return r.answer(fiber.StatusOK, listBody[taskView]{Data: []taskView{}})
	}
	rows, err := s.deps.Reader.Tasks(r.ctx, r.scope, filter, page)
	if err != nil {
		return readFailure("list tasks", err)
	}
	if rows.Rows, err = s.freshTasks(r, filter, rows.Rows); err != nil {
		return err
	}
	return r.answer(fiber.StatusOK, listOf(s, hash, rows, taskRow))
}

// freshTasks folds those rows anew of which this process wrote events that the
// list may not show, and drops those whose state no longer fits. They are few:
// the overlay is bounded and short-lived.
func (s *Server) freshTasks(r *request, filter readmodel.TaskFilter, rows []timeline.Snapshot) ([]timeline.Snapshot, error) {
	for i := range rows {
		if !s.overlay.has(r.scope.Namespace, rows[i].ID) {
			continue
		}
		snap, err := s.task(r.ctx, r.scope, rows[i].ID)
		if err != nil {
			return nil, err
		}
		rows[i] = snap
	}
	return slices.DeleteFunc(rows, func(t timeline.Snapshot) bool {
		return (len(filter.States) > 0 && !slices.Contains(filter.States, t.State)) || (filter.Active && t.State.Terminal())
	}), nil
}

func (s *Server) getAttempts(r *request) error {
	id, err := r.taskID()
	if err != nil {
		return err
	}
	events, err := s.events(r.ctx, r.scope, id)
	if err != nil {
		return err
	}
	return r.answer(fiber.StatusOK, listBody[timeline.Attempt]{Data: timeline.FoldAttempts(events)})
}
