package query

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
)

// gapType is the type of the entry that stands where events are missing. It is no
// event and never stored.
const gapType = "gap"

// gapEntry says that events of one source are missing from a run: they were lost,
// or are still on their way.
type gapEntry struct {
	Type      string            `json:"type"`
	Severity  timeline.Severity `json:"severity"`
	Namespace string            `json:"namespace"`
	TaskID    string            `json:"task_id"`
	Run       int               `json:"run"`
	Attempt   int               `json:"attempt"`
	SourceID  string            `json:"source_id"`
	// OccurredAt is when the next event that is there occurred.
	OccurredAt time.Time    `json:"occurred_at"`
	Gap        timeline.Gap `json:"gap"`

	before timeline.ID
}

// findGaps returns the holes in the sequences of a task's events, which are in
// timeline order.
func findGaps(events []timeline.Event) []gapEntry {
	type stream struct {
		run    int
		source string
	}
	bySource := map[stream][]*timeline.Event{}
	seen := map[int]map[uint64]bool{}      // run → numbers of any source
	createdBy := map[int]*timeline.Event{} // run → the task_created that is shown
	for i := range events {
		e := &events[i]
		if e.Type == timeline.TaskCreated && createdBy[e.Run] == nil {
			createdBy[e.Run] = e
		}
		if e.Seq == 0 {
			continue
		}
		k := stream{e.Run, e.SourceID}
		bySource[k] = append(bySource[k], e)
		if seen[e.Run] == nil {
			seen[e.Run] = map[uint64]bool{}
		}
		seen[e.Run][e.Seq] = true
	}
	var gaps []gapEntry
	for k, of := range bySource {
		slices.SortFunc(of, func(a, b *timeline.Event) int { return cmp.Compare(a.Seq, b.Seq) })
		next := uint64(1)
		for i, e := range of {
			from, to := next, e.Seq-1
			next = e.Seq + 1
			if e.Seq < from || from > to {
				continue
			}
			if i == 0 {
				// Of two task_created events only one is shown: that of the side that
				// enqueued, which may be the same source, stands outside the run's numbers.
				if c := createdBy[k.run]; from == 1 && c != nil && (c.SourceID != k.source || c.Seq == 0) {
					from++
				}
				// A source that carries on another's run counts on from it.
				for from <= to && seen[k.run][from] {
					from++
				}
				if from > to {
					continue
				}
			}
			gaps = append(gaps, gapEntry{
				Type: gapType, Severity: timeline.SeverityWarning, Namespace: e.Namespace, TaskID: e.Task.ID, Run: e.Run,
				Attempt: e.Attempt, SourceID: e.SourceID, OccurredAt: e.OccurredAt,
				Gap: timeline.Gap{From: from, To: to, Reason: "missing"}, before: e.ID,
			})
		}
	}
	return gaps
}

func (s *Server) getTimeline(r *request) error {
	id, err := r.taskID()
	if err != nil {
		return err
	}
	p := r.params
	var typeNames []string
	for _, t := range timeline.Types() {
		typeNames = append(typeNames, t.String())
	}
	typeNames = append(typeNames, gapType)
	types := enumList(p, "types", typeNames, func(s string) (string, bool) { return s, slices.Contains(typeNames, s) })
	severities := enumList(p, "severity", []string{"info", "warning", "error", "critical"}, timeline.ParseSeverity)
	run := p.integer("run", 1, math.MaxInt32, 0)
	after, afterTime, afterID := afterOf(p)
	if err := p.err(); err != nil {
		return err
	}
	events, err := s.events(r.ctx, r.scope, id)
	if err != nil {
		return err
	}
	gaps := map[timeline.ID][]gapEntry{}
	for _, g := range findGaps(events) {
		gaps[g.before] = append(gaps[g.before], g)
	}
	from := 0
	if !afterID.IsZero() {
		at := slices.IndexFunc(events, func(e timeline.Event) bool { return e.ID == afterID })
		if at < 0 {
			return invalid("after", "the timeline has no event with this id")
		}
		from = at + 1
	}
	wanted := func(kind string, sev timeline.Severity, inRun int, at time.Time) bool {
		return (len(types) == 0 || slices.Contains(types, kind)) && (len(severities) == 0 || slices.Contains(severities, sev)) &&
			(run == 0 || run == inRun) && (!after || afterTime.IsZero() || at.After(afterTime))
	}
	out := listBody[any]{Data: []any{}}
	for _, e := range events[from:] {
		for _, g := range gaps[e.ID] {
			if wanted(g.Type, g.Severity, g.Run, g.OccurredAt) {
				out.Data = append(out.Data, g)
			}
		}
		if wanted(e.Type.String(), e.Severity, e.Run, e.OccurredAt) {
			out.Data = append(out.Data, viewEvent(e, r.payload()))
		}
	}
	return r.answer(fiber.StatusOK, out)
}

// afterOf reads the parameter after: an event's id or a time.
func afterOf(p *params) (given bool, at time.Time, id timeline.ID) {
	v, ok := p.raw("after")
	if !ok {
		return false, at, id
	}
	if id, err := timeline.ParseID(v); err == nil && !id.IsZero() {
		return true, at, id
	}
	if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
		return true, at, id
	}
	p.note("after", "want the id of an event or a time such as 2026-01-31T12:00:00Z")
	return false, at, id
}
