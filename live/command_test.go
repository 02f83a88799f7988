package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

func quick(url string) Config {
	return Config{URL: url, RedeliverAfter: 200 * time.Millisecond, PollEvery: 100 * time.Millisecond, Timeout: 5 * time.Second}
}

func TestACommandIsOfferedUntilItIsAnswered(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		sink := l.CommandSink()
		first, stop := context.WithCancel(t.Context())
		c := l.Commands(first, "agent-1", "default", []string{"mail", "payments"})
		write(t, sink, retryRequest("t1", 2))
		got := receive(t, c)
		if got.ID != timeline.CommandID("default", "t1", 2) || got.Kind != timeline.CommandRetry || got.Run != 2 || got.Task.ID != "t1" ||
			got.Queue != "payments" || got.Reason != timeline.RetryManual || got.Operator.Actor != "ann" ||
			got.DeadLetterID != timeline.DeadLetterID("default", "t1", 1) || string(got.Sealed) != "sealed" ||
			string(got.Input) != `{"card":"tok_1"}` || got.RequestedAt.IsZero() ||
			got.TraceID != (timeline.TraceID{1}) || got.SpanID != (timeline.SpanID{2}) {
			t.Errorf("command %+v", got)
		}
		// The agent says nothing: it is offered again, to it or to another.
		other := l.Commands(t.Context(), "agent-2", "default", []string{"payments"})
		var again timeline.Command
		select {
		case again = <-c:
		case again = <-other:
		case <-time.After(15 * time.Second):
			t.Fatal("not offered again")
		}
		if again.ID != got.ID {
			t.Errorf("command %+v", again)
		}
		stop()
		for range c {
		}
		if again = receive(t, other); again.ID != got.ID {
			t.Errorf("command %+v", again)
		}
		// The answer ends it.
		write(t, sink, event(timeline.TaskRetried, "t1", 2, 0), event(timeline.TaskStarted, "t1", 2, 0))
		if n := l.Stats().CommandsAnswered; n != 1 {
			t.Errorf("%d answered", n)
		}
		// What was on its way when the answer came may still arrive.
		for drained := false; !drained; {
			select {
			case <-other:
			case <-time.After(500 * time.Millisecond):
				drained = true
			}
		}
		rdb, k := clientOf(t, url), keysOf("default", "payments")
		if n := rdb.XLen(t.Context(), k.stream).Val(); n != 0 {
			t.Errorf("%d entries are left", n)
		}
		if p := rdb.XPending(t.Context(), k.stream, group).Val(); p == nil || p.Count != 0 {
			t.Errorf("pending %+v", p)
		}
		if n := rdb.Exists(t.Context(), k.ids, placeKey(got.ID.String())).Val(); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		// A collector that is late does not bring it back.
		write(t, sink, retryRequest("t1", 2))
		if err := l.Redeliver(t.Context(), []timeline.Event{retryRequest("t1", 2)}); err != nil {
			t.Fatal(err)
		}
		nothing(t, other, 300*time.Millisecond)
	})
}

func TestASourceThatReconnectsGetsItsOwnAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		cfg := quick(url)
		cfg.RedeliverAfter = time.Hour
		l := start(t, cfg)
		write(t, l.CommandSink(), retryRequest("t1", 2))
		first, stop := context.WithCancel(t.Context())
		c := l.Commands(first, "agent-1", "", []string{"payments"})
		got := receive(t, c)
		stop()
		for range c {
		}
		nothing(t, l.Commands(t.Context(), "agent-2", "", []string{"payments"}), 250*time.Millisecond)
		if again := receive(t, l.Commands(t.Context(), "agent-1", "", []string{"payments"})); again.ID != got.ID {
			t.Errorf("command %+v", again)
		}
	})
}

func TestEachRetryGoesToOneAgentOfItsQueueAndNamespace(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		cfg := quick(url)
		cfg.RedeliverAfter = time.Hour
		l := start(t, cfg)
		const n = 60
		var events []timeline.Event
		for i := range n {
			events = append(events, retryRequest(fmt.Sprint("t", i), 2))
		}
		var mu sync.Mutex
		got := map[timeline.ID]int{}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 4 {
			c := l.Commands(ctx, fmt.Sprint("agent-", i), "default", []string{"payments"})
			wg.Go(func() {
				for cmd := range c {
					mu.Lock()
					got[cmd.ID]++
					mu.Unlock()
				}
			})
		}
		strangers := []<-chan timeline.Command{
			l.Commands(t.Context(), "x", "default", []string{"mail"}), l.Commands(t.Context(), "y", "acme", []string{"payments"}),
		}
		write(t, l.CommandSink(), events...)
		eventually(t, "all delivered", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == n })
		stop()
		wg.Wait()
		for id, times := range got {
			if times != 1 {
				t.Errorf("%s was delivered %d times", id, times)
			}
		}
		for _, c := range strangers {
			nothing(t, c, 20*time.Millisecond)
		}
	})
}

func TestACancelReachesEveryAgentOfTheQueue(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		sink := l.CommandSink()
		a := l.Commands(t.Context(), "agent-1", "", []string{"payments"})
		b := l.Commands(t.Context(), "agent-2", "", []string{"payments"})
		cancel := event(timeline.CancelRequested, "t1", 1, 0)
		cancel.Operator = &timeline.Operator{Actor: "ann", Reason: "double order"}
		write(t, sink, cancel)
		for _, c := range []<-chan timeline.Command{a, b} {
			if got := receive(t, c); got.Kind != timeline.CommandCancel || got.Task.ID != "t1" || got.Run != 1 || got.Operator.Actor != "ann" {
				t.Errorf("command %+v", got)
			}
		}
		// Once a connection is enough; one that comes later gets it too.
		nothing(t, a, 250*time.Millisecond)
		if got := receive(t, l.Commands(t.Context(), "agent-3", "", []string{"payments"})); got.Kind != timeline.CommandCancel {
			t.Errorf("command %+v", got)
		}
		write(t, sink, event(timeline.TaskCancelled, "t1", 1, 0))
		nothing(t, l.Commands(t.Context(), "agent-4", "", []string{"payments"}), 250*time.Millisecond)
	})
}

// Who runs tasks of a queue and starts none gets its cancels and no retry, and the
// queue does not count as served.
func TestCancelsAlone(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		sink := l.CommandSink()
		c := l.Commands(t.Context(), "run-1", "", nil, "payments")
		write(t, sink, retryRequest("t1", 2), event(timeline.CancelRequested, "t2", 1, 0))
		if got := receive(t, c); got.Kind != timeline.CommandCancel || got.Task.ID != "t2" {
			t.Errorf("command %+v", got)
		}
		nothing(t, c, 250*time.Millisecond)
		if served, err := l.Served(t.Context(), "default", "payments", false); served || err != nil {
			t.Errorf("served %v, %v", served, err)
		}
	})
}

// A cancel for a queue's URL goes there alone, again and again until the run ended.
func TestACancelForAURL(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		sink := l.CommandSink()
		agent := l.Commands(t.Context(), "agent-1", "", []string{"payments"})
		c := l.URLCommands(t.Context(), "collector-1", "default", "payments")
		e := event(timeline.CancelRequested, "t1", 1, 0)
		e.DeadLetter = &timeline.DeadLetterRef{SourceID: timeline.RequeueURLSource}
		write(t, sink, e)
		for range 2 {
			if got := receive(t, c); got.Kind != timeline.CommandCancel || got.Task.ID != "t1" {
				t.Errorf("command %+v", got)
			}
		}
		nothing(t, agent, 100*time.Millisecond)
		ended := event(timeline.TaskCancelled, "t1", 1, 0)
		ended.SourceID = ""
		write(t, sink, ended)
		nothing(t, l.URLCommands(t.Context(), "collector-2", "default", "payments"), 250*time.Millisecond)
	})
}

func TestCommandsOutliveRedis(t *testing.T) {
	r := livetest.Start(t)
	l := start(t, quick(r.URL()))
	sink := l.CommandSink()
	c := l.Commands(t.Context(), "agent-1", "", []string{"payments"})
	write(t, sink, retryRequest("t1", 2))
	receive(t, c)

	r.Stop()
	if err := sink.Write(t.Context(), batch(time.Now(), retryRequest("t2", 2))); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("a batch that Redis did not take: %v", err)
	}
	r.RestartEmpty()
	eventually(t, "ready", l.Ready)
	// The follower retries the batch; what was there before comes from the store.
	write(t, sink, retryRequest("t2", 2))
	if got := receive(t, c); got.Task.ID != "t2" {
		t.Errorf("command %+v", got)
	}
	for range 2 { // a second time is no second command
		if err := l.Redeliver(t.Context(), []timeline.Event{
			retryRequest("t1", 2), event(timeline.CancelRequested, "t5", 1, 0), event(timeline.TaskFailed, "t9", 2, 0),
		}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for !seen["t1"] || !seen["t5"] {
		seen[receive(t, c).Task.ID] = true
	}
	if seen["t9"] {
		t.Error("an event that asks for nothing became a command")
	}
	if n := r.Client().XLen(t.Context(), keysOf("", "payments").stream).Val(); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}

func TestAStreamThatWasEvictedIsMadeAgain(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		write(t, l.CommandSink(), retryRequest("t1", 2))
		clientOf(t, url).Del(t.Context(), keysOf("", "payments").stream)
		if err := l.Redeliver(t.Context(), []timeline.Event{retryRequest("t1", 2)}); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, l.Commands(t.Context(), "a", "", []string{"payments"})); got.Task.ID != "t1" {
			t.Errorf("command %+v", got)
		}
	})
}

func TestAFullQueueParksAndLosesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		cfg := quick(url)
		cfg.MaxCommands = 2
		l := start(t, cfg)
		sink := l.CommandSink()
		events := []timeline.Event{retryRequest("t1", 2), retryRequest("t2", 2), retryRequest("t3", 2)}
		write(t, sink, events...)
		if s := l.Stats(); s.CommandsAdded != 2 || s.CommandsParked != 1 {
			t.Fatalf("stats %+v", s)
		}
		c := l.Commands(t.Context(), "a", "", []string{"payments"})
		first := receive(t, c)
		write(t, sink, event(timeline.TaskStarted, first.Task.ID, 2, 0))
		if err := l.Redeliver(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if s := l.Stats(); s.CommandsAdded != 3 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestAnAnswerInAnotherQueueCounts(t *testing.T) {
	l := start(t, quick(startEmbedded(t).URL()))
	sink := l.CommandSink()
	write(t, sink, retryRequest("t1", 2))
	e := event(timeline.TaskStarted, "t1", 2, 0)
	e.Queue = ""
	write(t, sink, e)
	if n := l.Stats().CommandsAnswered; n != 1 {
		t.Errorf("%d answered", n)
	}
	// Asked for and answered in one batch, as when a log is read again.
	write(t, sink, retryRequest("t2", 2), event(timeline.CancelRequested, "t3", 1, 0), event(timeline.TaskStarted, "t2", 2, 0), event(timeline.TaskCompleted, "t3", 1, 0))
	nothing(t, l.Commands(t.Context(), "a", "", []string{"payments"}), 250*time.Millisecond)
}

func TestWhatNoCollectorWroteIsNotHandedOn(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		cfg := quick(url)
		forger := start(t, cfg)
		cfg.CommandKey = []byte("the collectors' key")
		l := start(t, cfg)
		write(t, forger.CommandSink(), retryRequest("forged", 2), event(timeline.CancelRequested, "forged", 1, 0))
		c := l.Commands(t.Context(), "a", "", []string{"payments"})
		nothing(t, c, 250*time.Millisecond)
		if n := l.Stats().CommandsForged; n != 2 {
			t.Errorf("%d forged", n)
		}
		write(t, l.CommandSink(), retryRequest("true", 2))
		if got := receive(t, c); got.Task.ID != "true" {
			t.Errorf("command %+v", got)
		}
		if n := clientOf(t, url).XLen(t.Context(), keysOf("", "payments").stream).Val(); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
}

func TestTheFirstClaimWins(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, Config{URL: url})
		claim := func(run int, holder string) bool {
			ok, err := l.ClaimRun(t.Context(), "", "t1", run, holder)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !claim(2, "a") || claim(2, "b") || !claim(2, "a") || !claim(3, "b") {
			t.Error("claims are not as they should be")
		}
		if err := l.ReleaseRun(t.Context(), "", "t1", 2, "b"); err != nil || claim(2, "b") {
			t.Errorf("b released what a holds: %v", err)
		}
		if err := l.ReleaseRun(t.Context(), "", "t1", 2, "a"); err != nil || !claim(2, "b") {
			t.Errorf("a could not release: %v", err)
		}
		var wins sync.Map
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if ok, err := l.ClaimRun(t.Context(), "", "race", 2, fmt.Sprint(i)); ok && err == nil {
					wins.Store(i, true)
				}
			})
		}
		wg.Wait()
		n := 0
		wins.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d winners", n)
		}
	})
}

func TestExchangesAreBounded(t *testing.T) {
	big := make([]timeline.Command, 30)
	for i := range big {
		big[i].Input = make(timeline.Payload, 256<<10)
	}
	small := make([]timeline.Command, 1_000)
	huge := []timeline.Command{{Sealed: make([]byte, 8<<20)}, {}}
	for _, c := range []struct {
		commands []timeline.Command
		want     int
	}{{big, 8}, {small, 200}, {huge, 1}, {small[:3], 3}} {
		if got := exchange(c.commands); got != c.want {
			t.Errorf("%d of %d, want %d", got, len(c.commands), c.want)
		}
	}
}

func TestARedisWithoutMemoryLosesNoCommand(t *testing.T) {
	r := livetest.Start(t)
	l := start(t, quick(r.URL()))
	full := func(limit string) {
		if err := r.Client().ConfigSet(t.Context(), "maxmemory", limit).Err(); err != nil {
			t.Fatal(err)
		}
	}
	full("100kb")
	sink := l.CommandSink()
	if err := sink.Write(t.Context(), batch(time.Now(), retryRequest("t1", 2))); err == nil {
		t.Fatal("a command that Redis did not take counts as written")
	}
	if !l.Ready() {
		t.Error("a full Redis still publishes")
	}
	full("0")
	write(t, sink, retryRequest("t1", 2))
	if got := receive(t, l.Commands(t.Context(), "a", "", []string{"payments"})); got.Task.ID != "t1" {
		t.Errorf("command %+v", got)
	}
}
