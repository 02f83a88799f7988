package breaker

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func newSet(t *testing.T, cfg SetConfig) *Set {
	t.Helper()
	s, err := NewSet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSetKeepsABreakerAProviderAndNamespace(t *testing.T) {
	s, c := newSet(t, SetConfig{}), newClock()
	a := s.Get("one", "psp", c.now)
	if a == nil || s.Get("one", "psp", c.now) != a {
		t.Fatal("the same provider has two breakers")
	}
	if s.Get("two", "psp", c.now) == a || s.Get("one", "other", c.now) == a {
		t.Fatal("two providers share a breaker")
	}
	if s.Get("one", "", c.now) != nil {
		t.Fatal("a breaker without a provider")
	}
	if a.Key() != (Key{"one", "psp"}) {
		t.Fatalf("key %+v", a.Key())
	}
}

func TestSetPerProvider(t *testing.T) {
	var heard []StateChange
	s := newSet(t, SetConfig{
		PerProvider: map[string]Config{"touchy": {ConsecutiveFailures: 1}, "free": {Disabled: true}},
		OnChange:    func(c StateChange) { heard = append(heard, c) },
	})
	c := newClock()
	if s.Get("n", "free", c.now) != nil {
		t.Fatal("a disabled breaker")
	}
	mustAcquire(t, s.Get("n", "touchy", c.now), c).Failure(0)
	mustAcquire(t, s.Get("n", "usual", c.now), c).Failure(0)
	wantState(t, s.Get("n", "touchy", c.now), timeline.BreakerOpen)
	wantState(t, s.Get("n", "usual", c.now), timeline.BreakerClosed)
	if len(heard) != 1 || heard[0].Provider != "touchy" {
		t.Fatalf("heard %+v", heard)
	}
}

func TestSetNeverEvictsAnOpenBreaker(t *testing.T) {
	s, c := newSet(t, SetConfig{Max: 8}), newClock()
	for i := range 4 {
		fail(t, s.Get("n", "open"+strconv.Itoa(i), c.now), c, 5)
	}
	for i := range 1000 {
		c.pass(11 * time.Second)
		b := s.Get("n", "new"+strconv.Itoa(i), c.now)
		if b == nil {
			t.Fatalf("newcomer %d has no breaker beside 4 open ones of 8", i)
		}
		mustAcquire(t, b, c).Success(0)
		if n := len(s.All()); n > 8 {
			t.Fatalf("%d breakers, the limit is 8", n)
		}
	}
	for i := range 4 {
		wantState(t, s.Get("n", "open"+strconv.Itoa(i), c.now), timeline.BreakerOpen)
	}
	if s.Evicted() < 900 || s.Unguarded() != 0 {
		t.Fatalf("evicted %d, unguarded %d", s.Evicted(), s.Unguarded())
	}
}

func TestSetRefusesWhenFullOfBusyOnes(t *testing.T) {
	s, c := newSet(t, SetConfig{Max: 3}), newClock()
	fail(t, s.Get("n", "open", c.now), c, 5)
	half := s.Get("n", "half", c.now)
	fail(t, half, c, 5)
	c.pass(40 * time.Second)
	mustAcquire(t, half, c)
	mustAcquire(t, s.Get("n", "busy", c.now), c).Success(0)
	b := s.Get("n", "newcomer", c.now)
	if b != nil || s.Unguarded() != 1 {
		t.Fatalf("breaker %v, unguarded %d", b, s.Unguarded())
	}
	if _, ok := b.Acquire(c.now); !ok {
		t.Fatal("the newcomer is held up")
	}
	c.pass(10 * time.Second)
	if s.Get("n", "newcomer", c.now) == nil {
		t.Fatal("an idle closed breaker made no room")
	}
	wantState(t, half, timeline.BreakerHalfOpen)
}

func TestSetConcurrentUse(t *testing.T) {
	s := newSet(t, SetConfig{Max: 64})
	base := newClock().now
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				now := base.Add(time.Duration(i) * 20 * time.Millisecond)
				name := strconv.Itoa((i*7 + worker) % 100)
				p, ok := s.Get("n", name, now).Acquire(now)
				if ok {
					p.Success(0)
				}
				if len(s.All()) > 64 {
					t.Error("more breakers than the limit")
				}
			}
		})
	}
	wg.Wait()
}

func TestSetConfigReportsEveryFault(t *testing.T) {
	err := SetConfig{Config: Config{MinCalls: -1}, Max: -1, PerProvider: map[string]Config{"p": {Buckets: 100}}}.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 3 {
		t.Fatalf("want 3 faults, got %v", err)
	}
}
