// Package querytest holds what tests of the query service stand on: a store of
// events in memory that answers through the folds of package timeline, and a
// broker of live messages. It is for tests alone.
package querytest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Store is an in-memory store of events. It is reader, writer and claimer at
// once, and safe for concurrent use.
type Store struct {
	mu     sync.Mutex
	events []timeline.Event
	hidden []timeline.Event // written, and not shown until Reveal
	claims map[string]string

	// Lag keeps what WriteEvents takes out of what readers see until Reveal.
	Lag bool
	// WriteErr, ClaimErr and ReadErr are returned by the next calls.
	WriteErr, ClaimErr, ReadErr error
	// Writes and Releases count calls, Writes without those of audit records alone.
	Writes, Releases int
}

// NewStore makes an empty store.
func NewStore() *Store { return &Store{claims: map[string]string{}} }

// Add puts events into the store at once.
func (s *Store) Add(events ...timeline.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
}

// Set changes the store's exported fields while it is in use.
func (s *Store) Set(change func(*Store)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// Reveal shows what was written while Lag was set.
func (s *Store) Reveal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, s.hidden...)
	s.hidden = nil
}

// All returns every event, hidden ones included.
func (s *Store) All() []timeline.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(slices.Clone(s.events), s.hidden...)
}

// WriteEvents implements query.EventWriter.
func (s *Store) WriteEvents(ctx context.Context, namespace string, events []timeline.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.WriteErr != nil {
		return s.WriteErr
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if slices.ContainsFunc(events, func(e timeline.Event) bool { return e.Setting == nil || e.Setting.Kind != timeline.SettingAudit }) {
		s.Writes++
	}
	for _, e := range events {
		if e.Namespace != namespace {
			return errors.New("an event of another namespace")
		}
		if s.Lag {
			s.hidden = append(s.hidden, e)
		} else {
			s.events = append(s.events, e)
		}
	}
	return nil
}

// ClaimRun implements query.Claimer.
func (s *Store) ClaimRun(_ context.Context, namespace, taskID string, run int, holder string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ClaimErr != nil {
		return false, s.ClaimErr
	}
	k := timeline.CommandID(namespace, taskID, run).String()
	if h, ok := s.claims[k]; ok {
		return h == holder, nil
	}
	s.claims[k] = holder
	return true, nil
}

// ReleaseRun implements query.RunReleaser.
func (s *Store) ReleaseRun(_ context.Context, namespace, taskID string, run int, holder string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Releases++
	k := timeline.CommandID(namespace, taskID, run).String()
	if s.claims[k] == holder {
		delete(s.claims, k)
	}
	return nil
}

// byTask returns the events of each task in scope. Callers hold mu.
func (s *Store) byTask(scope readmodel.Scope) map[string][]timeline.Event {
	all := map[string][]timeline.Event{}
	for _, e := range s.events {
		if e.Namespace == scope.Namespace && e.Type.OfTask() {
			all[e.Task.ID] = append(all[e.Task.ID], e)
		}
	}
	for id, events := range all {
		if snap, _ := timeline.Fold(events); scope.UserID != "" && snap.UserID != scope.UserID {
			delete(all, id)
		}
	}
	return all
}

func (s *Store) read(ctx context.Context) error {
	if s.ReadErr != nil {
		return s.ReadErr
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Timeline implements query.TimelineReader.
func (s *Store) Timeline(ctx context.Context, scope readmodel.Scope, taskID string) ([]timeline.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	events := s.byTask(scope)[taskID]
	if len(events) == 0 {
		return nil, readmodel.ErrNotFound
	}
	return timeline.Ordered(events), nil
}

// Task implements query.TaskReader.
func (s *Store) Task(ctx context.Context, scope readmodel.Scope, taskID string) (timeline.Snapshot, error) {
	events, err := s.Timeline(ctx, scope, taskID)
	if err != nil {
		return timeline.Snapshot{}, err
	}
	snap, _ := timeline.Fold(events)
	return snap, nil
}

// Tasks implements query.TaskReader.
func (s *Store) Tasks(ctx context.Context, scope readmodel.Scope, f readmodel.TaskFilter, page readmodel.Page) (readmodel.List[timeline.Snapshot], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return readmodel.List[timeline.Snapshot]{}, err
	}
	var rows []timeline.Snapshot
	for _, events := range s.byTask(scope) {
		t, _ := timeline.Fold(events)
		if f.Matches(&t, events) {
			rows = append(rows, t)
		}
	}
	return readmodel.PageOf(rows, page, func(t *timeline.Snapshot) readmodel.Position { return readmodel.Position{At: t.CreatedAt, ID: t.ID} }), nil
}

// Usual implements query.TaskReader.
func (s *Store) Usual(ctx context.Context, scope readmodel.Scope, taskType string) (readmodel.Usual, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := readmodel.Usual{Type: taskType}
	if err := s.read(ctx); err != nil {
		return u, err
	}
	var durations []time.Duration
	for _, events := range s.byTask(scope) {
		if t, _ := timeline.Fold(events); t.Type == taskType {
			durations = u.Add(events, durations)
		}
	}
	u.Attempts = readmodel.ExecutionTimeOf(durations)
	return u, nil
}

// letters returns all dead letters in scope. Callers hold mu.
func (s *Store) letters(scope readmodel.Scope) []timeline.DeadLetter {
	var all []timeline.DeadLetter
	for _, events := range s.byTask(scope) {
		all = append(all, timeline.FoldDeadLetters(events)...)
	}
	return all
}

// DeadLetter implements query.DeadLetterReader.
func (s *Store) DeadLetter(ctx context.Context, scope readmodel.Scope, id timeline.ID) (timeline.DeadLetter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return timeline.DeadLetter{}, err
	}
	for _, d := range s.letters(scope) {
		if d.ID == id {
			return d, nil
		}
	}
	return timeline.DeadLetter{}, readmodel.ErrNotFound
}

// DeadLetters implements query.DeadLetterReader.
func (s *Store) DeadLetters(ctx context.Context, scope readmodel.Scope, f readmodel.DeadLetterFilter, page readmodel.Page) (readmodel.List[timeline.DeadLetter], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return readmodel.List[timeline.DeadLetter]{}, err
	}
	rows := slices.DeleteFunc(s.letters(scope), func(d timeline.DeadLetter) bool { return !f.Matches(&d) })
	return readmodel.PageOf(rows, page, func(d *timeline.DeadLetter) readmodel.Position {
		return readmodel.Position{At: d.CreatedAt, ID: d.ID.String()}
	}), nil
}

// Health implements query.HealthReader.
func (s *Store) Health(ctx context.Context, scope readmodel.Scope, window time.Duration) (readmodel.Health, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return readmodel.Health{}, err
	}
	h := readmodel.Health{
		Window: timeline.Millis(window), GeneratedAt: time.Unix(1_800_000_000, 0).UTC(), Tasks: map[timeline.State]int64{},
		Queues:         []readmodel.QueueDepth{{Queue: "default", Pending: 1}},
		ActiveBreakers: []readmodel.ActiveBreaker{{Provider: "bank", State: timeline.BreakerOpen, Since: time.Unix(1_800_000_000, 0).UTC()}},
	}
	for _, events := range s.byTask(scope) {
		t, _ := timeline.Fold(events)
		h.Tasks[t.State]++
		if !t.State.Terminal() {
			h.QueueDepth++
		}
	}
	return h, nil
}

// History implements query.HealthReader.
func (s *Store) History(ctx context.Context, scope readmodel.Scope, q readmodel.HistoryQuery) (readmodel.History, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return readmodel.History{}, err
	}
	var rows []readmodel.HistoryRow
	for _, events := range s.byTask(scope) {
		rows = append(rows, readmodel.TaskHistory(q, events)...)
	}
	return readmodel.HistoryOf(q, rows), nil
}

// Errors implements query.HealthReader.
func (s *Store) Errors(ctx context.Context, scope readmodel.Scope, f readmodel.ErrorFilter, page readmodel.Page) (readmodel.List[readmodel.ErrorGroup], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return readmodel.List[readmodel.ErrorGroup]{}, err
	}
	groups := map[string]*readmodel.ErrorGroup{}
	for _, events := range s.byTask(scope) {
		for _, e := range events {
			if e.Error == nil || e.Type != timeline.AttemptFailed || !f.Selects(e.Error.Fingerprint, e.OccurredAt) {
				continue
			}
			g := groups[e.Error.Fingerprint]
			if g == nil {
				g = &readmodel.ErrorGroup{Fingerprint: e.Error.Fingerprint, FirstSeen: e.OccurredAt, LastSeen: e.OccurredAt, Sample: *e.Error, SampleTask: e.Task.ID}
				groups[e.Error.Fingerprint] = g
			}
			g.Count++
			if e.OccurredAt.After(g.LastSeen) {
				g.LastSeen = e.OccurredAt
			}
			if !slices.Contains(g.Types, e.Task.Type) {
				g.Types = append(g.Types, e.Task.Type)
			}
			if !slices.Contains(g.Queues, e.Queue) {
				g.Queues = append(g.Queues, e.Queue)
			}
		}
	}
	var rows []readmodel.ErrorGroup
	for _, g := range groups {
		rows = append(rows, *g)
	}
	return readmodel.PageOf(rows, page, func(g *readmodel.ErrorGroup) readmodel.Position {
		return readmodel.Position{At: g.LastSeen, ID: g.Fingerprint}
	}), nil
}
