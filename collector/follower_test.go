package collector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

type permanentError struct{ error }

func (permanentError) Permanent() bool { return true }

// quick retries at once.
func quick(s Sink) SinkSpec {
	return SinkSpec{Sink: s, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}
}

func TestFailingSinkGetsEveryBatchUnchanged(t *testing.T) {
	sink := newRecorder("truth")
	dice := rand.New(rand.NewPCG(1, 2))
	sink.fail = func(*spool.Batch) error {
		if dice.IntN(3) > 0 {
			return errors.New("not now")
		}
		return nil
	}
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{quick(sink)}})
	const n = 200
	for i := range n {
		accept(t, c, event(fmt.Sprint("t", i), 1, 1, 1, timeline.AttemptStarted))
	}
	for i, id := range taskIDs(sink.awaitCount(t, n)) {
		if want := fmt.Sprint("t", i); id != want {
			t.Fatalf("event %d is of %s, want %s", i, id, want)
		}
	}
	bodies := map[string][]byte{}
	for _, d := range sink.tries() {
		body := bytes.Join(d.frames, nil)
		if before, ok := bodies[d.token]; ok && !bytes.Equal(before, body) {
			t.Errorf("token %s stands for two different batches", d.token)
		}
		bodies[d.token] = body
	}
	eventually(t, "the sink's state is good again", func() bool { s := c.Sinks()[0]; return s.Up() && s.LagBytes == 0 && s.Retries > 0 })
}

func TestPoisonedFrameIsSetAside(t *testing.T) {
	sink := newRecorder("truth")
	poison := []byte("poisoned-task")
	var gate sync.WaitGroup
	gate.Add(1)
	sink.fail = func(b *spool.Batch) error {
		gate.Wait()
		for _, f := range b.Frames {
			if bytes.Contains(f, poison) {
				return permanentError{errors.New("can't be stored")}
			}
		}
		return nil
	}
	cfg := testConfig(t.TempDir())
	spec := quick(sink)
	spec.Tombstones = true
	c := start(t, cfg, Deps{Sinks: []SinkSpec{spec}})
	const n = 40
	for i := range n {
		id := fmt.Sprint("t", i)
		if i == 23 {
			id = string(poison)
		}
		accept(t, c, event(id, 1, 1, uint64(i+1), timeline.AttemptStarted))
	}
	gate.Done()
	events := sink.await(t, "39 tasks and a tombstone", func(e []timeline.Event) bool { return len(e) >= n })
	for i, e := range events[:n-1] {
		if strings.Contains(e.Task.ID, string(poison)) {
			t.Error("the poisoned frame was written")
		}
		if i > 0 && e.Seq <= events[i-1].Seq {
			t.Error("out of order")
		}
	}
	if e := events[n-1]; e.Type != timeline.Tombstone || e.Gap == nil || *e.Gap != (timeline.Gap{From: 24, To: 24, Reason: gapSetAside}) || e.SourceID != "source-1" {
		t.Errorf("after the gap: %+v", e)
	}
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "setaside", "truth", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var entry SetAside
	if err := json.Unmarshal(b, &entry); err != nil {
		t.Fatal(err)
	}
	if entry.Records != 1 || entry.Namespace != "a" || !strings.Contains(entry.Error, "can't be stored") {
		t.Errorf("%+v", entry)
	}
	pb, err := os.ReadFile(filepath.Join(filepath.Dir(files[0]), entry.File))
	if err != nil {
		t.Fatal(err)
	}
	if req := unmarshalLogs(t, pb); len(req.ResourceLogs) != 1 {
		t.Errorf("the file holds %v", req)
	}
	l := c.Ledger()
	if s := l.Sinks[0]; l.Accepted != n+1 || s.Written != n || s.SetAside != 1 || s.Queued != 0 {
		t.Errorf("ledger %+v", l)
	}
	delivered := map[timeline.ID]bool{}
	for _, e := range events {
		if delivered[e.ID] {
			t.Errorf("event %s was written twice", e.ID)
		}
		delivered[e.ID] = true
	}
}

func TestSlowSinkHoldsUpNobody(t *testing.T) {
	fast, stuck := newRecorder("fast"), newRecorder("stuck")
	release := make(chan struct{})
	stuck.fail = func(*spool.Batch) error {
		<-release
		return nil
	}
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{{Sink: stuck}, {Sink: fast}}})
	for i := range 50 {
		accept(t, c, event(fmt.Sprint("t", i), 1, 1, 1, timeline.AttemptStarted))
	}
	fast.awaitCount(t, 50)
	if n := len(stuck.deliveries()); n != 0 {
		t.Errorf("the stuck sink took %d batches", n)
	}
	if s := c.Sinks()[0]; s.LagBytes == 0 {
		t.Errorf("no lag: %+v", s)
	}
	close(release)
	stuck.awaitCount(t, 50)
}

func TestRestartGoesOnWhereItStopped(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.StopTimeout = time.Second
	first := newRecorder("truth")
	first.fail = func(*spool.Batch) error { return errors.New("down") }
	c := start(t, cfg, Deps{Sinks: []SinkSpec{quick(first)}})
	for i := range 10 {
		accept(t, c, event(fmt.Sprint("t", i), 1, 1, 1, timeline.AttemptStarted))
	}
	eventually(t, "a try", func() bool { return len(first.tries()) > 0 })
	frozen := first.tries()[0]
	stop(t, c)
	if _, err := c.Accept(t.Context(), wireEnvelope, request(event("late", 1, 1, 1, timeline.AttemptStarted))); !errors.Is(err, ErrNotRunning) {
		t.Errorf("accept after stop: %v", err)
	}

	second := newRecorder("truth")
	c = start(t, cfg, Deps{Sinks: []SinkSpec{quick(second)}})
	events := second.awaitCount(t, 10)
	if len(events) != 10 {
		t.Errorf("%d events", len(events))
	}
	again := second.deliveries()[0]
	if again.token != frozen.token || !bytes.Equal(bytes.Join(again.frames, nil), bytes.Join(frozen.frames, nil)) {
		t.Errorf("the frozen batch was %s with %d frames, after the restart it is %s with %d", frozen.token, len(frozen.frames), again.token, len(again.frames))
	}
	eventually(t, "a balance", func() bool { l := c.Ledger(); return l.Accepted == 10 && l.Sinks[0].Written == 10 })
}

func TestLossySinkPassesOverWhatIsOld(t *testing.T) {
	cfg := testConfig(t.TempDir())
	clk := newClock()
	c := start(t, cfg, Deps{Now: clk.Now})
	accept(t, c, event("old", 1, 1, 1, timeline.AttemptStarted))
	stop(t, c)
	clk.add(time.Minute)
	sink := newRecorder("live")
	c = start(t, cfg, Deps{Now: clk.Now, Sinks: []SinkSpec{{Sink: sink, LossyAfter: 10 * time.Second}}})
	accept(t, c, event("new", 1, 1, 1, timeline.AttemptStarted))
	if ids := taskIDs(sink.awaitCount(t, 1)); fmt.Sprint(ids) != "[new]" {
		t.Errorf("got %v", ids)
	}
	eventually(t, "a balance", func() bool {
		l := c.Ledger()
		return l.Accepted == 2 && l.Sinks[0].Written == 1 && l.Sinks[0].Skipped == 1 && l.Sinks[0].Queued == 0
	})
}

func TestBackoffStaysUnderItsCap(t *testing.T) {
	f := &follower{spec: SinkSpec{}.withDefaults()}
	for try := range 200 {
		if d := f.backoff(try); d < 25*time.Millisecond || d > 5*time.Second {
			t.Fatalf("try %d waits %v", try, d)
		}
	}
}

func TestNewSinkBeginsWithABalance(t *testing.T) {
	cfg := testConfig(t.TempDir())
	c := start(t, cfg, Deps{})
	accept(t, c, event("t1", 1, 1, 1, timeline.AttemptStarted), event("t2", 1, 1, 2, timeline.AttemptStarted))
	stop(t, c)
	sink := newRecorder("new")
	c = start(t, cfg, Deps{Sinks: []SinkSpec{{Sink: sink}}})
	accept(t, c, event("t3", 1, 1, 3, timeline.AttemptStarted))
	sink.awaitCount(t, 1)
	eventually(t, "a balance", func() bool {
		l := c.Ledger()
		return l.Accepted == 3 && l.Sinks[0].Written+l.Sinks[0].Skipped == 3 && l.Sinks[0].Queued == 0
	})
}
