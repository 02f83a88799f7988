package chaos

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// folded is what the API says of a task.
type folded struct {
	ID    string         `json:"task_id"`
	State timeline.State `json:"state"`
	Run   int            `json:"run"`
}

// states reads the list of tasks, the latest first, until it has all of those asked for.
func (s *system) states(of []*task) (map[string]folded, error) {
	got := map[string]folded{}
	cursor := ""
	for {
		var page struct {
			Data []folded `json:"data"`
			Next string   `json:"next_cursor"`
		}
		if err := s.list("/tasks?limit=200"+cursor, &page); err != nil {
			return nil, err
		}
		for _, f := range page.Data {
			got[f.ID] = f
		}
		if page.Next == "" || !slices.ContainsFunc(of, func(t *task) bool { return got[t.id].ID == "" }) {
			return got, nil
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
}

// list asks for a page of a list.
func (s *system) list(path string, page any) error {
	ctx, stop := within(s.t.Context(), 10*time.Second)
	defer stop()
	code, fields := s.api(ctx, http.MethodGet, path, "", "")
	if code != http.StatusOK {
		return fmt.Errorf("%s: %d %v", path, code, fields)
	}
	return convert(fields, page)
}

func convert(fields map[string]any, to any) error {
	b, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

func (s *system) state(t *task) (timeline.State, int, error) {
	ctx, stop := within(s.t.Context(), 5*time.Second)
	defer stop()
	code, fields := s.api(ctx, http.MethodGet, "/tasks/"+url.PathEscape(t.id), "", "")
	if code != http.StatusOK {
		return "", 0, fmt.Errorf("%d %v", code, fields)
	}
	state, _ := fields["state"].(string)
	run, _ := fields["run"].(float64)
	return timeline.State(state), int(run), nil
}

// stored is what ClickHouse holds of the tasks.
type stored struct {
	events map[string]string // id → type
	twice  []string
	lives  map[string][]string // task → its events in the words of the known lives, in no order
}

func (s *system) stored() (stored, error) {
	out, err := s.up.SQL("SELECT toString(event_id), hex(record) FROM events FINAL FORMAT TSV")
	got := stored{events: map[string]string{}, lives: map[string][]string{}}
	if err != nil {
		return got, err
	}
	var rec wire.Record
	for line := range strings.Lines(out) {
		id, record, _ := strings.Cut(strings.TrimSpace(line), "\t")
		b, err := hex.DecodeString(record)
		if err == nil {
			err = wire.DecodeLogRecord(b, &rec)
		}
		if err != nil {
			return got, fmt.Errorf("the stored record of %s: %w", id, err)
		}
		what := fmt.Sprintf("%s of %s, run %d, written by %s as number %d", rec.Type, rec.TaskID, rec.Run, rec.SourceID, rec.SourceSeq)
		if got.events[id] != "" {
			got.twice = append(got.twice, what+" at "+time.Unix(0, rec.OccurredAt).UTC().String())
		}
		got.events[id] = rec.Type.String()
		word := fmt.Sprintf("r%d ", rec.Run)
		if rec.Attempt > 0 {
			word += fmt.Sprintf("a%d ", rec.Attempt)
		}
		word += rec.Type.String()
		task := string(rec.TaskID)
		// Who inserts a task and who takes it may both tell that it was created, each in
		// an event of its own; readers show one.
		if rec.Type != timeline.TaskCreated || !slices.Contains(got.lives[task], word) {
			got.lives[task] = append(got.lives[task], word)
		}
	}
	return got, nil
}

// letters reads every dead letter, by task.
func (s *system) letters() (map[string][]timeline.DeadLetter, error) {
	got := map[string][]timeline.DeadLetter{}
	cursor := ""
	for {
		var page struct {
			Data []timeline.DeadLetter `json:"data"`
			Next string                `json:"next_cursor"`
		}
		if err := s.list("/failed-tasks?limit=200"+cursor, &page); err != nil {
			return nil, err
		}
		for _, l := range page.Data {
			got[l.Task.ID] = append(got[l.Task.ID], l)
		}
		if page.Next == "" {
			return got, nil
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
}

func (s *system) health(h *readmodel.Health) error {
	ctx, stop := within(context.Background(), 10*time.Second)
	defer stop()
	code, fields := s.api(ctx, http.MethodGet, "/tasks/monitoring/health?window=24h", "", "") // a clock that jumps puts ends further back than an hour
	if code != http.StatusOK {
		return fmt.Errorf("health: %d %v", code, fields)
	}
	return convert(fields, h)
}
