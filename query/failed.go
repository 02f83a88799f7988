package query

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func deadLetterStatuses() []timeline.DeadLetterStatus {
	return []timeline.DeadLetterStatus{timeline.DeadLetterPending, timeline.DeadLetterRetrying, timeline.DeadLetterResolved, timeline.DeadLetterSuperseded, timeline.DeadLetterDiscarded}
}

// letterParams are the parameters that [letterFilter] reads.
var letterParams = []string{"status", "severity", "reason", "type", "queue", "agent", "provider", "fingerprint", "user_id", "task_id", "trace_id", "text", "min_attempts", "min_duration", "max_duration", "from", "to"}

// letterFilter reads which dead letters are asked for; what is wrong is noted in p.
func letterFilter(p *params) readmodel.DeadLetterFilter {
	statusNames, parseStatus := words(deadLetterStatuses())
	reasonNames, parseReason := words(timeline.FailureReasons())
	least, most := p.lasted()
	return readmodel.DeadLetterFilter{
		Statuses:   enumList(p, "status", statusNames, parseStatus),
		Severities: enumList(p, "severity", []string{"medium", "high", "critical"}, timeline.ParseAlertSeverity),
		Reasons:    enumList(p, "reason", reasonNames, parseReason),
		Types:      p.list("type"), Queues: p.list("queue"), Agents: p.list("agent"), Providers: p.list("provider"),
		Fingerprints: p.list("fingerprint"), UserID: p.text("user_id", timeline.MaxNameBytes), TaskID: p.text("task_id", timeline.MaxTaskIDBytes),
		TraceID: p.traceID("trace_id"), Text: p.text("text", maxTextBytes), MinAttempts: p.integer("min_attempts", 0, math.MaxInt32, 0),
		MinDuration: least, MaxDuration: most, Created: p.within("from", "to"),
	}
}

func (s *Server) getDeadLetters(r *request) error {
	filter := letterFilter(r.params)
	page, hash, err := s.page(r)
	if err != nil {
		return err
	}
	if other := r.scope.UserID; other != "" && filter.UserID != "" && filter.UserID != other {
		return r.answer(fiber.StatusOK, listBody[deadLetterView]{Data: []deadLetterView{}})
	}
	rows, err := s.deps.Reader.DeadLetters(r.ctx, r.scope, filter, page)
	if err != nil {
		return readFailure("list dead letters", err)
	}
	for i := range rows.Rows {
		if d := &rows.Rows[i]; s.overlay.has(r.scope.Namespace, d.Task.ID) {
			if *d, err = s.foldedLetter(r.ctx, r.scope, *d); err != nil {
				return err
			}
		}
	}
	rows.Rows = slices.DeleteFunc(rows.Rows, func(d timeline.DeadLetter) bool {
		return len(filter.Statuses) > 0 && !slices.Contains(filter.Statuses, d.Status)
	})
	return r.answer(fiber.StatusOK, listOf(s, hash, rows, deadLetterRow))
}

func (s *Server) getDeadLetter(r *request) error {
	id, err := r.deadLetterID()
	if err != nil {
		return err
	}
	d, err := s.deadLetter(r.ctx, r.scope, id)
	if err != nil {
		return err
	}
	return r.answer(fiber.StatusOK, viewDeadLetter(d, r.payload()))
}

// deadLetter reads one dead letter, including what the store does not show yet.
func (s *Server) deadLetter(ctx context.Context, scope readmodel.Scope, id timeline.ID) (timeline.DeadLetter, error) {
	d, err := s.deps.Reader.DeadLetter(ctx, scope, id)
	if taskID, ours := s.overlay.taskOf(scope.Namespace, id); errors.Is(err, readmodel.ErrNotFound) && ours {
		events, err := s.events(ctx, scope, taskID)
		if err != nil {
			return d, err
		}
		for _, l := range timeline.FoldDeadLetters(events) {
			if l.ID == id {
				return l, nil
			}
		}
	}
	if err != nil {
		return d, readFailure("read dead letter", err)
	}
	if !s.overlay.has(scope.Namespace, d.Task.ID) {
		return d, nil
	}
	return s.foldedLetter(ctx, scope, d)
}

// foldedLetter folds a dead letter anew from its task's events.
func (s *Server) foldedLetter(ctx context.Context, scope readmodel.Scope, d timeline.DeadLetter) (timeline.DeadLetter, error) {
	events, err := s.events(ctx, scope, d.Task.ID)
	if err != nil {
		return d, err
	}
	for _, l := range timeline.FoldDeadLetters(events) {
		if l.ID == d.ID {
			return l, nil
		}
	}
	return d, nil
}
