package riverrunner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner"
	"github.com/tasktrail/tasktrail/timeline"
)

var created = []string{"r1 task_created"}

func TestInsertRecordsTheTask(t *testing.T) {
	w := newWorld(t, options{noWorker: true, config: riverrunner.Config{
		Describe: func(*rivertype.JobRow) agent.Task {
			return agent.Task{Task: timeline.Task{Type: "payment", UserID: "user-7", Amount: "120.00", Currency: "USD"}}
		},
	}})
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled})
	ctx := trace.ContextWithSpanContext(t.Context(), parent)
	res, err := w.client.Insert(ctx, planArgs{[]string{"ok"}}, &river.InsertOpts{Metadata: []byte(`{"mine": 1}`)})
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("river:default:%d", res.Job.ID)
	w.wantLife(id, created)
	e := w.rec.Events(id)[0]
	if e.Task.Type != "payment" || e.Task.UserID != "user-7" || e.Task.Queue != "default" || e.Task.Runner != "river" || string(e.Task.Input) != `{"plan": ["ok"]}` && string(e.Task.Input) != `{"plan":["ok"]}` {
		t.Errorf("task_created carries %+v", e.Task)
	}
	if e.TraceID != timeline.TraceID(parent.TraceID()) {
		t.Errorf("task_created has trace %s, want that of the insert", e.TraceID)
	}
	if d := e.OccurredAt.Sub(res.Job.CreatedAt); d < -time.Millisecond || d > time.Millisecond {
		t.Errorf("task_created occurred at %s, the job was created at %s", e.OccurredAt, res.Job.CreatedAt)
	}
	w.start()
	w.wantLife(id, lives(t)["success"])
	for _, e := range w.rec.Events(id)[1:] {
		if e.TraceID != timeline.TraceID(parent.TraceID()) {
			t.Errorf("%s has trace %s, want that of the insert", e.Type, e.TraceID)
		}
	}
	if e.Task.Metadata["river.kind"] != "plan" {
		t.Errorf("metadata %v, want River's kind, since the type is another", e.Task.Metadata)
	}
}

// Bulk inserts too; what River skips as a duplicate is no new task, and what it
// tells no id of is recorded by the worker.
func TestEveryWayToInsert(t *testing.T) {
	w := newWorld(t, options{noWorker: true})
	many := []river.InsertManyParams{{Args: planArgs{[]string{"ok"}}}, {Args: planArgs{[]string{"ok"}}}}
	results, err := w.client.InsertMany(t.Context(), many)
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range results {
		w.wantLife(fmt.Sprintf("river:default:%d", res.Job.ID), created)
	}
	unique := &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}
	id, _ := w.insert(unique, "once")
	again, _ := w.insert(unique, "once")
	if id != again || len(w.rec.Collector().Events("")) != 3 {
		t.Errorf("%s, then %s for the same job, and %d events; want one job and 3 events", id, again, len(w.rec.Collector().Events("")))
	}
	if n, err := w.client.InsertManyFast(t.Context(), many[:1]); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	var fast int64
	if err := w.pool.QueryRow(t.Context(), "SELECT max(id) FROM river_job").Scan(&fast); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.wantLife(fmt.Sprintf("river:default:%d", fast), lives(t)["success"])
}

func TestTransactions(t *testing.T) {
	w := newWorld(t, options{noWorker: true})
	inTx := func(commit, hold bool) string {
		ctx := t.Context()
		var held *riverrunner.Held
		if hold {
			ctx, held = w.runner.Hold(ctx)
		}
		tx, err := w.pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		res, err := w.client.InsertTx(ctx, tx, planArgs{[]string{"ok"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("river:default:%d", res.Job.ID)
		if hold {
			w.wantLife(id, []string{})
		}
		end := pgx.Tx.Rollback
		if commit {
			end = pgx.Tx.Commit
		}
		if err := end(tx, ctx); err != nil {
			t.Fatal(err)
		}
		if commit && hold {
			held.Record()
		}
		return id
	}
	w.wantLife(inTx(true, true), created)
	w.wantLife(inTx(false, true), []string{})
	w.wantLife(inTx(true, false), created)
	ghost := inTx(false, false)
	w.wantLife(ghost, created)
	w.rec.Collector().Send(cancelOf(ghost, 1))
	w.wantLife(ghost, []string{"r1 task_created", "r1 task_cancelled"})
}
