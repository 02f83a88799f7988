package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

func heartbeat(task string, attempt int, p *timeline.Progress) timeline.AgentLive {
	return timeline.AgentLive{
		SourceID: "src", Agent: "worker-1", Queues: []string{"payments"},
		Tasks:       []timeline.LiveTask{{TaskID: task, Run: 1, Attempt: attempt, Type: "payment", Queue: "payments", UserID: "ann", Progress: p}},
		QueueDepths: []timeline.LiveQueueDepth{{Queue: "payments", Pending: 7}},
	}
}

func TestTheActiveSetFollowsTasks(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, Config{URL: url})
		p := l.Publisher()
		active := func() []ActiveTask {
			a, err := l.Active(t.Context(), "default", 0)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		write(t, p, event(timeline.TaskStarted, "t1", 1, 0), event(timeline.AttemptStarted, "t1", 1, 1),
			event(timeline.TaskStarted, "short", 1, 0), event(timeline.TaskCompleted, "short", 1, 0))
		if err := l.AgentLive(t.Context(), heartbeat("t1", 1, &timeline.Progress{Done: 1, Total: 2, Fraction: 0.5})); err != nil {
			t.Fatal(err)
		}
		a := active()
		if len(a) != 1 || a[0].TaskID != "t1" || a[0].State != timeline.StateInProgress || a[0].Attempt != 1 || a[0].Agent != "worker-1" ||
			a[0].StartedAt.IsZero() || time.Since(a[0].HeartbeatAt) > time.Minute || a[0].Progress == nil || a[0].Progress.Fraction != 0.5 {
			t.Fatalf("active %+v", a)
		}
		pr, err := l.Progress(t.Context(), "", []string{"t1", "short", "nobody"})
		if err != nil || len(pr) != 1 || pr["t1"].Done != 1 {
			t.Errorf("progress %v, %v", pr, err)
		}
		hb, err := l.Heartbeats(t.Context(), "", []string{"t1", "nobody"})
		if err != nil || len(hb) != 1 || time.Since(hb["t1"]) > time.Minute {
			t.Errorf("heartbeats %v, %v", hb, err)
		}
		src, err := l.Sources(t.Context(), time.Now().Add(-time.Minute))
		if err != nil || len(src) != 1 || src[0].Agent != "worker-1" || src[0].SourceID != "src" || src[0].Queues[0] != "payments" {
			t.Errorf("sources %+v, %v", src, err)
		}
		if d, err := l.QueueDepths(t.Context(), ""); err != nil || len(d) != 1 || d[0].Pending != 7 {
			t.Errorf("depths %+v, %v", d, err)
		}
		// The next attempt has made no progress yet, and what the last one says late
		// is no longer so.
		write(t, p, event(timeline.AttemptFailed, "t1", 1, 1), event(timeline.TaskRetried, "t1", 1, 1), event(timeline.AttemptStarted, "t1", 1, 2))
		if err := l.AgentLive(t.Context(), heartbeat("t1", 1, &timeline.Progress{Done: 2, Total: 2, Fraction: 1})); err != nil {
			t.Fatal(err)
		}
		if a := active(); len(a) != 1 || a[0].Attempt != 2 || a[0].Progress != nil {
			t.Errorf("active %+v", a)
		}
		write(t, p, event(timeline.TaskCompleted, "t1", 1, 0))
		if err := l.AgentLive(t.Context(), heartbeat("t1", 2, nil)); err != nil {
			t.Fatal(err)
		}
		if a := active(); len(a) != 0 {
			t.Errorf("active after the end: %+v", a)
		}
	})
}

func TestProgressIsPublishedAtABoundedRate(t *testing.T) {
	l := start(t, Config{URL: startEmbedded(t).URL(), ProgressEvery: time.Hour})
	task, err := l.Subscribe(t.Context(), TaskTopic("", "t1"), UserTopic("", "ann"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := l.AgentLive(t.Context(), heartbeat("t1", 1, &timeline.Progress{Done: float64(i + 1), Total: 5})); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		var m EventMessage
		if err := json.Unmarshal(receive(t, task.C()).Payload, &m); err != nil || m.Event.Type != timeline.TaskProgress ||
			m.Event.Progress.Done != 1 || m.Task.State != timeline.StateInProgress || m.Task.Progress.Done != 1 || m.Event.ID.IsZero() {
			t.Errorf("message %+v, %v", m, err)
		}
	}
	nothing(t, task.C(), 50*time.Millisecond)
	if n := l.Stats().ProgressThrottled; n != 4 {
		t.Errorf("%d throttled", n)
	}
	if pr, err := l.Progress(t.Context(), "", []string{"t1"}); err != nil || pr["t1"].Done != 5 {
		t.Errorf("what is kept is not the latest: %v, %v", pr, err)
	}
}

func TestTheActiveSetIsBoundedAndExpires(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, Config{URL: url, MaxActive: 10, ActiveTTL: time.Minute})
		p := l.Publisher()
		for i := range 30 {
			e := event(timeline.TaskStarted, fmt.Sprint("t", i), 1, 0)
			e.OccurredAt = e.OccurredAt.Add(time.Duration(i) * time.Millisecond)
			write(t, p, e)
		}
		if err := l.active.sweep(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		rdb, k := clientOf(t, url), activeKeysOf("default")
		if n, m := rdb.ZCard(t.Context(), k.beats).Val(), rdb.HLen(t.Context(), k.tasks).Val(); n != 10 || m != 10 {
			t.Errorf("%d and %d tasks, the bound is 10", n, m)
		}
		if err := l.active.sweep(t.Context(), time.Now().Add(2*time.Minute)); err != nil {
			t.Fatal(err)
		}
		if n := rdb.Exists(t.Context(), k.beats, k.tasks, k.progress).Val(); n != 0 {
			t.Errorf("%d keys are left after a silence", n)
		}
		if err := l.active.sweep(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if n := rdb.Exists(t.Context(), sourcesKey, sourcesInfoKey).Val(); n != 0 {
			t.Errorf("%d keys of sources are left", n)
		}
	})
}

func TestTheActiveSetIsRestoredAfterALoss(t *testing.T) {
	r := livetest.Start(t)
	restore := make(chan struct{}, 10)
	l := start(t, Config{URL: r.URL(), Timeout: 300 * time.Millisecond, OnConnect: func(context.Context) { restore <- struct{}{} }})
	receive(t, restore)
	write(t, l.Publisher(), event(timeline.TaskStarted, "newer", 1, 0))
	r.RestartEmpty()
	receive(t, restore)
	write(t, l.Publisher(), event(timeline.AttemptStarted, "newer", 1, 2))
	now := time.Now().UTC()
	err := l.RestoreActive(t.Context(), "", []timeline.Snapshot{
		{Task: timeline.Task{ID: "lost", Type: "payment"}, State: timeline.StateInProgress, Run: 1, Attempt: 1, UpdatedAt: now},
		{Task: timeline.Task{ID: "newer"}, State: timeline.StateInProgress, Run: 1, Attempt: 1, UpdatedAt: now},
		{Task: timeline.Task{ID: "done"}, State: timeline.StateCompleted, Run: 1, UpdatedAt: now},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Active(t.Context(), "", 0)
	if err != nil || len(a) != 2 {
		t.Fatalf("active %+v, %v", a, err)
	}
	for _, task := range a {
		if task.TaskID == "newer" && task.Attempt != 2 {
			t.Errorf("what was newer was overwritten: %+v", task)
		}
	}
}

func TestAgentLiveRefusesWhatBreaksALimit(t *testing.T) {
	l := start(t, Config{URL: startEmbedded(t).URL()})
	var fe *timeline.FieldError
	if err := l.AgentLive(t.Context(), timeline.AgentLive{}); !errors.As(err, &fe) || fe.Field != "source_id" {
		t.Errorf("got %v", err)
	}
}

func TestAlertsArePublished(t *testing.T) {
	r := livetest.Start(t)
	l := start(t, Config{URL: r.URL(), Timeout: 300 * time.Millisecond})
	sub, err := l.Subscribe(t.Context(), AlertsTopic("", timeline.AlertCritical))
	if err != nil {
		t.Fatal(err)
	}
	a := timeline.Alert{ID: timeline.TaskAlertID("default", "t1"), Severity: timeline.AlertCritical, State: timeline.AlertFiring, Namespace: "default"}
	if err := l.PublishAlert(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	var m AlertMessage
	if err := json.Unmarshal(receive(t, sub.C()).Payload, &m); err != nil || m.V != 1 || m.Topic != "alerts:critical" || m.Alert.ID != a.ID {
		t.Errorf("message %+v, %v", m, err)
	}
	r.Stop()
	if err := l.PublishAlert(t.Context(), a); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without Redis: %v", err)
	}
}

func TestLastSeenDoesNotTakeAYoungRedisForSilence(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, Config{URL: url})
		if _, err := l.LastSeen(t.Context(), "src"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a source that is missing from a young Redis: %v", err)
		}
		write(t, l.Publisher(), event(timeline.TaskStarted, "t1", 1, 0))
		if at, err := l.LastSeen(t.Context(), "src"); err != nil || time.Since(at) > time.Minute {
			t.Errorf("seen %v, %v", at, err)
		}
		l.emptyAt.Store(time.Now().Add(-2 * quarantine).UnixNano())
		if at, err := l.LastSeen(t.Context(), "nobody"); err != nil || !at.IsZero() {
			t.Errorf("nobody was seen %v, %v", at, err)
		}
	})
}
