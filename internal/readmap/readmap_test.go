package readmap

import (
	"sync"
	"testing"
)

func TestAddFindsWhatIsThere(t *testing.T) {
	m := New[string, *int](4)
	made := 0
	create := func() *int { made++; n := made; return &n }
	never := func(*int) bool { return false }
	a, ok := m.Add("a", create, never)
	again, _ := m.Add("a", create, never)
	if !ok || a != again || made != 1 {
		t.Fatalf("made %d entries for one key", made)
	}
	if got, ok := m.Get("a"); !ok || got != a {
		t.Fatal("Get does not see it")
	}
	for _, key := range []string{"b", "c", "d"} {
		m.Add(key, create, never)
	}
	if _, ok := m.Add("e", create, never); ok || m.Refused() != 1 {
		t.Fatal("more entries than the limit")
	}
	e, ok := m.Add("e", create, func(v *int) bool { return v == a })
	if !ok || e == nil || m.Evicted() != 1 || len(m.Values()) != 4 {
		t.Fatalf("no room was made: evicted %d, %d entries", m.Evicted(), len(m.Values()))
	}
	if _, ok := m.Get("a"); ok {
		t.Fatal("Get sees an evicted entry")
	}
}

func TestLookupsStopTakingTheLock(t *testing.T) {
	const n = 1000
	m := New[int, int](n)
	for i := range n {
		m.Add(i, func() int { return i }, nil)
	}
	for range 2 { // the misses of the first pass pay for the copy
		for i := range n {
			if _, ok := m.Get(i); !ok {
				m.Add(i, nil, nil)
			}
		}
	}
	for i := range n {
		if v, ok := m.Get(i); !ok || v != i {
			t.Fatalf("entry %d: %d, %v", i, v, ok)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	m := New[int, int](64)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				key := (i*7 + worker) % 100
				v, ok := m.Get(key)
				if !ok {
					v, ok = m.Add(key, func() int { return key }, func(int) bool { return true })
				}
				if !ok || v != key {
					t.Errorf("entry %d is %d, %v", key, v, ok)
				}
			}
		})
	}
	wg.Wait()
	if n := len(m.Values()); n > 64 {
		t.Fatalf("%d entries, the limit is 64", n)
	}
}
