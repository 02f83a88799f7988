package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// Filling is what a database is filled with for measurements.
type Filling struct {
	// Events is about how many, eight a task. Defaults to 1 000 000.
	Events int
	// LastHour is how many of the tasks fall into the hour before Now, evenly; the
	// others lie evenly over Days. Defaults to 50 000, a third of all tasks at most.
	LastHour int
	// Days is how far back tasks go. Defaults to 30.
	Days int
	// Now is the latest time. Defaults to the time of the call.
	Now time.Time
}

// FilledTask is the id of the i-th task of a filling.
func FilledTask(i int) string {
	// Spread like random ids, so that neighbours in time are none in the key.
	return fmt.Sprintf("task-%016x", uint64(i)*0x9e3779b97f4a7c15)
}

// Tasks is how many tasks the filling has.
func (f Filling) Tasks() int { return max(f.withDefaults().Events/8, 1) }

func (f Filling) withDefaults() Filling {
	if f.Events == 0 {
		f.Events = 1_000_000
	}
	if f.Days == 0 {
		f.Days = 30
	}
	if f.LastHour == 0 {
		f.LastHour = 50_000
	}
	f.LastHour = min(f.LastHour, f.Events/8/3)
	if f.Now.IsZero() {
		f.Now = time.Now()
	}
	return f
}

// at is when the i-th task was created: tasks are numbered in the order of time.
func (f Filling) at(i int) time.Time {
	tasks := f.Events / 8
	hour := f.Now.Add(-time.Hour)
	if old := tasks - f.LastHour; i < old {
		return f.Now.AddDate(0, 0, -f.Days).Add(time.Duration(float64(hour.Sub(f.Now.AddDate(0, 0, -f.Days))) * float64(i) / float64(old)))
	}
	return hour.Add(time.Duration(float64(time.Hour-10*time.Second) * float64(i-(tasks-f.LastHour)) / float64(f.LastHour)))
}

// Fill writes the filling through the store's own way of writing: tasks of seven
// queues, five types, eleven agents, four providers and a user for each hundred,
// of which one in fifty fails. Nine in ten of those that failed more than a day
// ago were retried and completed. It returns how many events it wrote.
func Fill(ctx context.Context, s *store.Store, f Filling) (int, error) {
	f = f.withDefaults()
	tasks := f.Events / 8
	const perBatch = 6000 // tasks
	type batch struct{ n, from, to int }
	work := make(chan batch)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total int
	var failed error
	for range 2 {
		wg.Go(func() {
			for b := range work {
				frames, n := f.frames(b.from, b.to)
				err := s.WriteFrames(ctx, "fill-"+strconv.FormatInt(f.Now.UnixNano(), 36)+"-"+strconv.Itoa(b.n), frames)
				mu.Lock()
				total += n
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for n, from := 0, 0; from < tasks && ctx.Err() == nil; n, from = n+1, from+perBatch {
		work <- batch{n, from, min(from+perBatch, tasks)}
	}
	close(work)
	wg.Wait()
	return total, errors.Join(failed, ctx.Err())
}

// frames are those of the tasks of a range, as a collector's log holds them.
func (f Filling) frames(from, to int) (frames [][]byte, n int) {
	var records [][]byte
	var seq uint64
	source := "source-" + strconv.Itoa(from)
	var ids timeline.IDGenerator
	flush := func() {
		if len(records) > 0 {
			frames = append(frames, wire.AppendFrame(nil, wire.Envelope{IngestedAt: f.Now, Namespace: timeline.DefaultNamespace},
				wire.AppendExportRequest(nil, wire.Resource{}, records)))
			records = records[:0]
		}
	}
	for i := from; i < to; i++ {
		for _, e := range f.life(i) {
			seq++
			e.ID, e.Severity, e.SourceID, e.SourceSeq = ids.Next(e.OccurredAt), e.Type.Severity(), source, seq
			records = append(records, wire.AppendLogRecord(nil, &e))
			n++
		}
		if len(records) >= 500 {
			flush()
		}
	}
	flush()
	return frames, n
}

// life is the events of the i-th task.
func (f Filling) life(i int) []timeline.Event {
	task := timeline.Task{
		Namespace: timeline.DefaultNamespace, ID: FilledTask(i), Type: [...]string{"payment", "send_email", "report", "sync", "import"}[i%5],
		Queue: "queue-" + strconv.Itoa(i%7), Runner: "asynq", Agent: "worker-" + strconv.Itoa(i%11), Provider: "provider-" + strconv.Itoa(i%4),
		UserID: "user-" + strconv.Itoa(i/7%max(f.Tasks()/100, 1)), Amount: "12.50", Currency: "EUR", MaxAttempts: 2,
	}
	at, seq, run := f.at(i), uint64(0), 1
	var events []timeline.Event
	add := func(t timeline.Type, attempt int, after time.Duration, with func(*timeline.Event)) {
		at, seq = at.Add(after), seq+1
		e := timeline.Event{Task: task, Type: t, Run: run, Attempt: attempt, Seq: seq, OccurredAt: at}
		if t == timeline.TaskCreated {
			e.Input = timeline.Payload(`{"to":"someone@example.com","lines":[1,2,3]}`)
		}
		e.TraceID = timeline.TraceID{byte(run), byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i), 1}
		if with != nil {
			with(&e)
		}
		events = append(events, e)
	}
	kind := i / 50 % 40
	failure := &timeline.Error{
		Class: timeline.ClassRetryable, Kind: "http_503", Code: "503", HTTPStatus: 503, Fingerprint: "fp1:" + strconv.Itoa(kind),
		Message: "service " + strconv.Itoa(kind) + " is unavailable: request " + strconv.Itoa(i),
	}
	took := timeline.Millis(time.Duration(20+i%180) * time.Millisecond)
	fails := func(e *timeline.Event) { e.Duration, e.Error = took, failure }
	ends := func(e *timeline.Event) { e.Attempts, e.Duration = 2, 3*took }
	add(timeline.TaskCreated, 0, 0, nil)
	add(timeline.TaskStarted, 0, time.Millisecond, nil)
	add(timeline.AttemptStarted, 1, time.Millisecond, nil)
	add(timeline.AttemptFailed, 1, took.Duration(), fails)
	add(timeline.TaskRetried, 1, time.Millisecond, func(e *timeline.Event) {
		e.Retry = &timeline.Retry{NextAttempt: 2, Delay: timeline.Millis(time.Second), Reason: timeline.RetryBackoff}
	})
	add(timeline.AttemptStarted, 2, time.Second, nil)
	if i%50 != 0 {
		add(timeline.AttemptSuccess, 2, took.Duration(), func(e *timeline.Event) { e.Duration = took })
		add(timeline.TaskCompleted, 0, time.Millisecond, ends)
		return events
	}
	add(timeline.AttemptFailed, 2, took.Duration(), fails)
	add(timeline.TaskFailed, 0, time.Millisecond, func(e *timeline.Event) { ends(e); fails(e); e.Reason = timeline.FailExhausted })
	letter := timeline.DeadLetterID(task.Namespace, task.ID, 1)
	add(timeline.MovedToDLQ, 0, time.Millisecond, func(e *timeline.Event) {
		fails(e)
		e.Attempts, e.Reason = 2, timeline.FailExhausted
		e.DeadLetter = &timeline.DeadLetterRef{ID: letter, AlertSeverity: timeline.AlertMedium, Requeueable: true}
	})
	if f.Now.Sub(at) < 24*time.Hour || i/50%10 == 0 {
		return events
	}
	run, seq = 2, 0
	add(timeline.DLQRetryRequested, 0, time.Minute, func(e *timeline.Event) {
		e.Seq, e.DeadLetter, e.Operator = 0, &timeline.DeadLetterRef{ID: letter}, &timeline.Operator{Actor: "ada", Reason: "mended"}
	})
	add(timeline.TaskStarted, 0, time.Second, nil)
	add(timeline.AttemptStarted, 1, time.Millisecond, nil)
	add(timeline.AttemptSuccess, 1, took.Duration(), func(e *timeline.Event) { e.Duration = took })
	add(timeline.TaskCompleted, 0, time.Millisecond, ends)
	return events
}
