package query

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// historyTTL is how long a history serves those who ask for the same: it grows by
// the minute.
const historyTTL = 5 * time.Second

func (s *Server) getHealth(r *request) error {
	window := r.params.duration("window", time.Minute, maxWindow, time.Hour)
	if err := r.params.err(); err != nil {
		return err
	}
	h, err := s.health.read(r.ctx, healthKey{r.scope, window})
	if err != nil {
		return readFailure("read health", err)
	}
	return r.answer(fiber.StatusOK, viewHealth(h, r.scope.UserID != ""))
}

// historySteps are the steps a history has where none is asked for: the first that
// makes no more than historyPoints of a window.
var historySteps = [...]time.Duration{
	time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour,
}

const historyPoints = 100

// historyQuery ends with the last whole minute and begins with a whole step.
func (s *Server) historyQuery(p *params) readmodel.HistoryQuery {
	window := p.duration("window", time.Minute, maxWindow, time.Hour)
	step := 12 * time.Hour
	for _, d := range historySteps {
		if window/d <= historyPoints {
			step = d
			break
		}
	}
	step = p.duration("step", readmodel.HistoryMinute, maxWindow, step)
	if step%readmodel.HistoryMinute != 0 {
		p.note("step", "want whole minutes")
	}
	if window/step > readmodel.MaxHistoryPoints {
		p.note("step", "want at most %d steps in the window", readmodel.MaxHistoryPoints)
	}
	q := readmodel.HistoryQuery{To: s.now().UTC().Truncate(readmodel.HistoryMinute), Step: step, Type: p.text("type", timeline.MaxNameBytes)}
	q.From = readmodel.HistoryStep(q.To.Add(-window), step)
	return q
}

// getHistory tells how the namespace did over a time.
func (s *Server) getHistory(r *request) error {
	q := s.historyQuery(r.params)
	if err := r.params.err(); err != nil {
		return err
	}
	h, err := s.history.read(r.ctx, historyKey{r.scope, q})
	if err != nil {
		return readFailure("read the history of health", err)
	}
	return r.answer(fiber.StatusOK, h)
}
