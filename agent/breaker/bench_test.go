package breaker

import (
	"testing"
	"time"
)

func BenchmarkAcquireSuccess(b *testing.B) {
	c := newClock()
	br := newBreaker(Key{"default", "psp"}, Config{}.WithDefaults(), c.now, nil)
	b.ReportAllocs()
	for b.Loop() {
		p, ok := br.Acquire(c.now)
		if !ok {
			b.Fatal("no permit")
		}
		p.Success(time.Millisecond)
	}
}

func BenchmarkAcquireSuccessParallel(b *testing.B) {
	c := newClock()
	br := newBreaker(Key{"default", "psp"}, Config{}.WithDefaults(), c.now, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		now := c.now
		for pb.Next() {
			now = now.Add(57)
			p, _ := br.Acquire(now)
			p.Success(time.Millisecond)
		}
	})
}

func BenchmarkSetGet(b *testing.B) {
	c := newClock()
	s, err := NewSet(SetConfig{})
	if err != nil {
		b.Fatal(err)
	}
	s.Get("default", "psp", c.now)
	b.ReportAllocs()
	for b.Loop() {
		if s.Get("default", "psp", c.now) == nil {
			b.Fatal("no breaker")
		}
	}
}

func TestSuccessAllocatesNothing(t *testing.T) {
	c := newClock()
	s := newSet(t, SetConfig{})
	s.Get("default", "psp", c.now)
	if n := testing.AllocsPerRun(1000, func() {
		b := s.Get("default", "psp", c.now)
		p, _ := b.Acquire(c.now)
		_ = b.Describe()
		p.Success(time.Millisecond)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
