package live

import (
	"testing"
	"time"
)

func TestALeaseHasOneHolder(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		take := func(holder string, ttl time.Duration, want bool) {
			t.Helper()
			if got, err := l.Lease(t.Context(), "bulk", holder, ttl); err != nil || got != want {
				t.Fatalf("%s: %v, %v, want %v", holder, got, err, want)
			}
		}
		take("a", time.Minute, true)
		take("b", time.Minute, false)
		take("a", 50*time.Millisecond, true) // renewed, for less
		deadline := time.Now().Add(10 * time.Second)
		for {
			mine, err := l.Lease(t.Context(), "bulk", "b", time.Minute)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("the lease does not end: %v", err)
			}
			if mine {
				break
			}
		}
		take("a", time.Minute, false)
		if got, err := l.Lease(t.Context(), "other", "a", time.Minute); err != nil || !got {
			t.Errorf("another lease: %v, %v", got, err)
		}
	})
}

func TestOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		begin := func(key, fingerprint string, want OnceState, answer string) {
			t.Helper()
			state, got, err := l.BeginOnce(t.Context(), key, fingerprint)
			if err != nil || state != want || string(got) != answer {
				t.Fatalf("%s %s: %v, %q, %v, want %v, %q", key, fingerprint, state, got, err, want, answer)
			}
		}
		begin("k\x00 ü", "f", OnceNew, "")
		begin("k\x00 ü", "f", OnceBusy, "")
		begin("k\x00 ü", "g", OnceOther, "")
		if err := l.FinishOnce(t.Context(), "k\x00 ü", []byte("done"), time.Minute); err != nil {
			t.Fatal(err)
		}
		begin("k\x00 ü", "f", OnceDone, "done")
		begin("k\x00 ü", "g", OnceOther, "")
		begin("k2", "f", OnceNew, "")
		if err := l.AbandonOnce(t.Context(), "k2"); err != nil {
			t.Fatal(err)
		}
		begin("k2", "g", OnceNew, "")
		if err := l.FinishOnce(t.Context(), "k3", []byte("late"), time.Minute); err != nil {
			t.Fatal(err)
		}
		begin("k3", "f", OnceNew, "")
	})
}
