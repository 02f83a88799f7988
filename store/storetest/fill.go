package storetest

import (
	"context"
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
	// Days is how far back tasks go. Defaults to 7.
	Days int
	// Now is the latest time. Defaults to the time at which the last hour is written.
	Now time.Time
	// Progress is called now and then with how many tasks are written. Defaults to
	// none.
	Progress func(tasks int)
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
		f.Days = 7
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

// Users is how many users the tasks belong to, user-0 and on.
func (f Filling) Users() int { return max(f.Tasks()/100, 1) }

const (
	// chunkTasks is how many tasks are under way at once in a filling, and lateTasks in
	// its last hour: smaller inserts, and more of them, so that what a task's events
	// stand in is merged about as much as it would be.
	chunkTasks = 12_000
	lateTasks  = 400
	// linger is how long a collector gathers before it inserts: what a task's events
	// are further apart than this stands in several inserts.
	linger = 150 * time.Millisecond
	// waves bounds in how many inserts the events of one task stand.
	waves = 4
)

// Fill writes the filling through the store's own way of writing: tasks of seven
// queues, five types, eleven agents, four providers and a user for each hundred,
// of which one in fifty fails. Nine in ten of those that failed more than a day
// ago were retried and completed. A task's events are spread over as many blocks
// as they would be where a collector takes them in at their time. It returns the
// filling as it is, with the time at which its last hour ended, and how many events
// it wrote.
func Fill(ctx context.Context, s *store.Store, f Filling) (Filling, int, error) {
	latest := f.Now.IsZero()
	f = f.withDefaults()
	tasks := f.Events / 8
	older, err := f.fill(ctx, s, 0, tasks-f.LastHour, chunkTasks)
	if err != nil {
		return f, older, err
	}
	if latest {
		f.Now = time.Now() // the rest may have taken longer than an hour
	}
	last, err := f.fill(ctx, s, tasks-f.LastHour, tasks, lateTasks)
	return f, older + last, err
}

// Refresh adds tasks to a filled database whose last hour has passed: as many as
// the last hour of the filling has, in the hour before now. The filling as it is
// then is returned, and how many events were written.
func Refresh(ctx context.Context, s *store.Store, f Filling) (Filling, int, error) {
	f = f.withDefaults()
	from := f.Events / 8
	f.Events, f.Now = f.Events+8*f.LastHour, time.Now()
	n, err := f.fill(ctx, s, from, from+f.LastHour, lateTasks)
	return f, n, err
}

// fill writes the tasks of a range, so many at once.
func (f Filling) fill(ctx context.Context, s *store.Store, from, to, chunk int) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var events, tasks int
	for range 2 {
		wg.Go(func() {
			for first := range work {
				last := min(first+chunk, to)
				n := 0
				for wave, frames := range f.frames(first, last, &n) {
					token := fmt.Sprintf("fill-%x-%d-%d", f.Now.UnixNano(), first, wave)
					if err := s.WriteFrames(ctx, token, frames); err != nil {
						cancel(err)
						break
					}
				}
				mu.Lock()
				events, tasks = events+n, tasks+last-first
				if f.Progress != nil {
					f.Progress(tasks)
				}
				mu.Unlock()
			}
		})
	}
	for ; from < to && ctx.Err() == nil; from += chunk {
		select {
		case work <- from:
		case <-ctx.Done():
		}
	}
	close(work)
	wg.Wait()
	return events, context.Cause(ctx)
}

// frames are those of the tasks of a range, as a collector's log holds them, in
// the inserts that they come in, one after the other; n is how many events.
func (f Filling) frames(from, to int, n *int) (frames [waves][][]byte) {
	var records [waves][][]byte
	var took [waves]time.Time
	var seq uint64
	source := "source-" + strconv.Itoa(from)
	var ids timeline.IDGenerator
	flush := func(w int) {
		if len(records[w]) > 0 {
			at := took[w].Add(linger)
			frames[w] = append(frames[w], wire.AppendFrame(nil, wire.Envelope{IngestedAt: at, Namespace: timeline.DefaultNamespace},
				wire.AppendExportRequest(nil, wire.Resource{}, records[w])))
			records[w] = records[w][:0]
		}
	}
	for i := from; i < to; i++ {
		wave, tick := -1, int64(0)
		for _, e := range f.life(i) {
			if t := e.OccurredAt.UnixNano() / int64(linger); wave < 0 || t != tick {
				wave, tick = min(wave+1, waves-1), t
			}
			seq++
			e.ID, e.Severity, e.SourceID, e.SourceSeq = ids.Next(e.OccurredAt), e.Type.Severity(), source, seq
			records[wave] = append(records[wave], wire.AppendLogRecord(nil, &e))
			took[wave] = e.OccurredAt
			*n++
			if len(records[wave]) >= 500 {
				flush(wave)
			}
		}
	}
	for w := range records {
		flush(w)
	}
	return frames
}

// life is the events of the i-th task.
func (f Filling) life(i int) []timeline.Event {
	task := timeline.Task{
		Namespace: timeline.DefaultNamespace, ID: FilledTask(i), Type: [...]string{"payment", "send_email", "report", "sync", "import"}[i%5],
		Queue: "queue-" + strconv.Itoa(i%7), Runner: "asynq", Agent: "worker-" + strconv.Itoa(i%11), Provider: "provider-" + strconv.Itoa(i%4),
		UserID: "user-" + strconv.Itoa(i/7%f.Users()), Amount: "12.50", Currency: "EUR", MaxAttempts: 2,
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
