package breaker

import (
	"encoding/json"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// clock is time that passes when a test says so.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

func halfway() float64 { return 0.5 }

// start returns a breaker without jitter, its clock, and the changes it told of.
func start(t *testing.T, cfg Config) (*Breaker, *clock, *[]StateChange) {
	t.Helper()
	c := newClock()
	var changes []StateChange
	if cfg.Rand == nil {
		cfg.Rand = halfway
	}
	if cfg.OpenJitter == 0 {
		cfg.OpenJitter = -1
	}
	b, err := New(Key{"default", "psp"}, cfg, c.now, func(s StateChange) { changes = append(changes, s) })
	if err != nil {
		t.Fatal(err)
	}
	return b, c, &changes
}

func mustAcquire(t *testing.T, b *Breaker, c *clock) Permit {
	t.Helper()
	p, ok := b.Acquire(c.now)
	if !ok {
		t.Fatalf("no permit while %s", b.State())
	}
	return p
}

func fail(t *testing.T, b *Breaker, c *clock, n int) *StateChange {
	t.Helper()
	var last *StateChange
	for range n {
		last = mustAcquire(t, b, c).Failure(0)
	}
	return last
}

func wantState(t *testing.T, b *Breaker, want timeline.BreakerState) {
	t.Helper()
	if got := b.State(); got != want {
		t.Fatalf("state %s, want %s", got, want)
	}
}

func TestBreakerGoesRound(t *testing.T) {
	b, c, changes := start(t, Config{})
	change := fail(t, b, c, 5)
	if change == nil || change.To != timeline.BreakerOpen || change.Why != WhyConsecutiveFailures || change.Consecutive != 5 {
		t.Fatalf("five failures in a row led to %+v", change)
	}
	if want := c.now.Add(30 * time.Second); !change.OpenUntil.Equal(want) {
		t.Fatalf("open until %v, want %v", change.OpenUntil, want)
	}
	if _, ok := b.Acquire(c.now.Add(30*time.Second - 1)); ok {
		t.Fatal("a permit while open")
	}
	if d := b.Describe(); d.State != timeline.BreakerOpen || !d.OpenUntil.Equal(change.OpenUntil) {
		t.Fatalf("described as %+v", d)
	}
	c.pass(30 * time.Second)
	probe := mustAcquire(t, b, c)
	if !probe.Probe() || probe.HalfOpened() == nil || probe.HalfOpened().To != timeline.BreakerHalfOpen {
		t.Fatalf("the first after the open time is no probe: %+v", probe)
	}
	if _, ok := b.Acquire(c.now); ok {
		t.Fatal("two probes at once")
	}
	if !b.Blocked(c.now) {
		t.Fatal("not blocked while the probe is out")
	}
	if change := probe.Success(time.Second); change == nil || change.To != timeline.BreakerClosed {
		t.Fatalf("a good probe led to %+v", change)
	}
	wantState(t, b, timeline.BreakerClosed)
	var tos []timeline.BreakerState
	for i, one := range *changes {
		tos = append(tos, one.To)
		if one.Generation != uint64(i+1) {
			t.Errorf("change %d has generation %d", i, one.Generation)
		}
	}
	if want := []timeline.BreakerState{timeline.BreakerOpen, timeline.BreakerHalfOpen, timeline.BreakerClosed}; !slices.Equal(tos, want) {
		t.Fatalf("the listener heard %v, want %v", tos, want)
	}
}

func TestOpenTimeGrowsToItsMaximumAndResets(t *testing.T) {
	b, c, _ := start(t, Config{})
	change := fail(t, b, c, 5)
	for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		if got := change.OpenUntil.Sub(c.now); got != want {
			t.Fatalf("open for %v, want %v", got, want)
		}
		c.pass(want)
		change = mustAcquire(t, b, c).Failure(0)
		if change == nil || change.Why != WhyProbeFailed {
			t.Fatalf("a failed probe led to %+v", change)
		}
	}
	c.pass(5 * time.Minute)
	mustAcquire(t, b, c).Success(0)
	if got := fail(t, b, c, 5).OpenUntil.Sub(c.now); got != 30*time.Second {
		t.Fatalf("after a closing it opens for %v, want 30s", got)
	}
}

func TestOpenTimeStaysWithinItsBounds(t *testing.T) {
	for _, r := range []float64{0, 0.25, 0.999999999} {
		cfg := Config{Rand: func() float64 { return r }}.WithDefaults()
		for n := 1; n < 200; n++ {
			d := cfg.openTime(n)
			if d < 27*time.Second || d > 5*time.Minute {
				t.Fatalf("opening %d with draw %v: %v", n, r, d)
			}
		}
	}
	cfg := Config{OpenFor: 1 << 62, MaxOpenFor: 1<<63 - 1, Rand: halfway}.WithDefaults()
	if d := cfg.openTime(5); d <= 0 {
		t.Fatalf("the longest open time overflows to %v", d)
	}
}

func TestProbeSurvivesPanicAndGoexit(t *testing.T) {
	for name, end := range map[string]func(){
		"panic":  func() { panic("executor") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			b, c, _ := start(t, Config{})
			fail(t, b, c, 5)
			c.pass(30 * time.Second)
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { _ = recover() }()
				p, ok := b.Acquire(c.now)
				if !ok {
					t.Error("no probe")
				}
				defer p.Ignore(0)
				end()
			}()
			<-done
			if p := mustAcquire(t, b, c); !p.Probe() {
				t.Fatal("the probe was not given back")
			}
		})
	}
}

func TestForgottenProbeIsGivenUp(t *testing.T) {
	b, c, changes := start(t, Config{})
	fail(t, b, c, 5)
	c.pass(30 * time.Second)
	hung := mustAcquire(t, b, c)
	c.pass(30*time.Second - 1)
	if _, ok := b.Acquire(c.now); ok {
		t.Fatal("a second probe before the first is given up")
	}
	c.pass(1)
	change := b.Expire(c.now)
	if change == nil || change.Why != WhyProbeTimeout || !change.OpenUntil.Equal(c.now.Add(time.Minute)) {
		t.Fatalf("giving up led to %+v", change)
	}
	// The late result, good or bad, moves nothing.
	if got := hung.Success(31 * time.Second); got != nil {
		t.Fatalf("a result that came too late led to %+v", got)
	}
	wantState(t, b, timeline.BreakerOpen)
	c.pass(time.Minute)
	second := mustAcquire(t, b, c)
	hung.Failure(90 * time.Second)
	hung.Ignore(90 * time.Second)
	if _, ok := b.Acquire(c.now); ok {
		t.Fatal("the first probe's permit released the second")
	}
	second.Success(0)
	wantState(t, b, timeline.BreakerClosed)
	if n := len(*changes); n != 5 {
		t.Fatalf("%d changes, want 5: %+v", n, *changes)
	}
}

func TestForgottenProbeNeedsNobodyToNotice(t *testing.T) {
	b, c, _ := start(t, Config{})
	fail(t, b, c, 5)
	c.pass(30 * time.Second)
	mustAcquire(t, b, c)
	c.pass(time.Hour)
	if p := mustAcquire(t, b, c); !p.Probe() {
		t.Fatal("an hour after a hung probe the next caller is no probe")
	}
}

func TestStaleResultMovesNothing(t *testing.T) {
	b, c, _ := start(t, Config{})
	var stale []Permit
	for range 20 {
		stale = append(stale, mustAcquire(t, b, c))
	}
	fail(t, b, c, 5)
	for _, p := range stale[:5] {
		if change := p.Success(time.Second); change != nil {
			t.Fatalf("a success from before the opening led to %+v", change)
		}
	}
	wantState(t, b, timeline.BreakerOpen)
	c.pass(30 * time.Second)
	probe := mustAcquire(t, b, c)
	for _, p := range stale[5:10] {
		p.Success(40 * time.Second)
	}
	wantState(t, b, timeline.BreakerHalfOpen)
	probe.Success(0)
	for _, p := range stale[10:] {
		if change := p.Failure(time.Minute); change != nil {
			t.Fatalf("a failure from before the opening led to %+v", change)
		}
	}
	wantState(t, b, timeline.BreakerClosed)
	if s := b.Snapshot(c.now); s.Calls != 0 || s.Failures != 0 || s.Consecutive != 0 {
		t.Fatalf("stale results were counted: %+v", s)
	}
}

func TestListenerMayCallBack(t *testing.T) {
	c := newClock()
	var b *Breaker
	var heard []timeline.BreakerState
	var err error
	b, err = New(Key{"default", "psp"}, Config{OpenJitter: -1}, c.now, func(s StateChange) {
		heard = append(heard, s.To)
		b.State()
		b.Snapshot(c.now)
		b.Blocked(c.now)
		if s.To == timeline.BreakerOpen && s.Generation == 1 {
			// A change from within a listener is told after the one it is about.
			p, ok := b.Acquire(c.now.Add(time.Minute))
			if !ok || p.Success(0) == nil {
				t.Error("the listener could not probe")
			}
			if len(heard) != 1 {
				t.Error("a listener was called from within itself")
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); fail(t, b, c, 5) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("deadlock: the listener is called with a lock held")
	}
	want := []timeline.BreakerState{timeline.BreakerOpen, timeline.BreakerHalfOpen, timeline.BreakerClosed}
	if !slices.Equal(heard, want) {
		t.Fatalf("heard %v, want %v", heard, want)
	}
}

func TestPanickingListenerLeavesTheBreakerUsable(t *testing.T) {
	c := newClock()
	calls := 0
	b, err := New(Key{"default", "psp"}, Config{OpenJitter: -1}, c.now, func(StateChange) {
		if calls++; calls == 1 {
			panic("listener")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		fail(t, b, c, 5)
	}()
	wantState(t, b, timeline.BreakerOpen)
	c.pass(30 * time.Second)
	mustAcquire(t, b, c).Success(0)
	wantState(t, b, timeline.BreakerClosed)
	if calls != 3 {
		t.Fatalf("the listener was called %d times, want 3", calls)
	}
}

func TestNilAndZeroLetEverythingThrough(t *testing.T) {
	var b *Breaker
	p, ok := b.Acquire(time.Now())
	if !ok || b.Blocked(time.Now()) || b.State() != "" || b.Describe() != nil || b.Expire(time.Now()) != nil {
		t.Fatal("a nil breaker is in the way")
	}
	p.Success(0)
	p.Failure(0)
	p.Ignore(0)
	if b.Snapshot(time.Now()) != (Snapshot{}) || b.Key() != (Key{}) {
		t.Fatal("a nil breaker has a snapshot")
	}
}

func TestSnapshotIsJSON(t *testing.T) {
	b, c, _ := start(t, Config{})
	fail(t, b, c, 5)
	got, err := json.Marshal(b.Snapshot(c.now))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"namespace":"default","provider":"psp","state":"open","why":"consecutive_failures","changed_at":"2026-03-01T12:00:00Z",` +
		`"calls":5,"failures":5,"slow_calls":0,"consecutive_failures":5,"open_until":"2026-03-01T12:00:30Z","openings":1,"generation":1}`
	if string(got) != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// TestConcurrentUse hammers one breaker with everything at once: at most one
// probe is out at a time, and it always comes round to closed.
func TestConcurrentUse(t *testing.T) {
	var nanos atomic.Int64
	base := newClock().now
	now := func() time.Time { return base.Add(time.Duration(nanos.Add(int64(time.Millisecond)))) }
	var heard, last atomic.Uint64
	b, err := New(Key{"default", "psp"}, Config{OpenFor: 10 * time.Millisecond, MaxOpenFor: 20 * time.Millisecond, ProbeTimeout: time.Hour}, base,
		func(s StateChange) {
			heard.Add(1)
			if before := last.Swap(s.Generation); before >= s.Generation {
				t.Errorf("change %d was told after %d", s.Generation, before)
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	var probes atomic.Int32
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				p, ok := b.Acquire(now())
				if !ok {
					continue
				}
				if p.Probe() && probes.Add(1) != 1 {
					t.Error("two probes at once")
				}
				if p.Probe() {
					probes.Add(-1)
				}
				switch {
				case (i+worker)%7 == 0:
					p.Ignore(0)
				case i%1000 < 500:
					p.Failure(0)
				default:
					p.Success(0)
				}
			}
		})
	}
	wg.Wait()
	for range 1000 {
		if p, ok := b.Acquire(now()); ok {
			p.Success(0)
		}
	}
	wantState(t, b, timeline.BreakerClosed)
	if s := b.Snapshot(now()); heard.Load()+s.Untold != s.Generation || s.Generation == 0 {
		t.Fatalf("%d changes were told of, %d were not, of %d", heard.Load(), s.Untold, s.Generation)
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	bad := Config{FailureRate: 2, SlowCallRate: 0.5, MinCalls: -1, Buckets: 61, BucketWidth: -1, OpenFor: time.Hour, MaxOpenFor: 1, OpenJitter: 2, ProbeTimeout: -1}
	err := bad.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 8 {
		t.Fatalf("want 8 faults, got %v", err)
	}
	if err := (Config{OpenFor: time.Hour}).Validate(); err != nil {
		t.Fatalf("an open time past the default maximum: %v", err)
	}
	if _, err := New(Key{}, bad, time.Now(), nil); err == nil {
		t.Fatal("New takes what Validate refuses")
	}
}
