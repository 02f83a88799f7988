package live

import (
	"testing"
	"time"
)

func TestWhatProcessesShare(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, Config{URL: url})
		if got, err := l.Shared(t.Context(), "alerting"); err != nil || len(got) != 0 {
			t.Fatalf("%v %v", got, err)
		}
		for holder, body := range map[string]string{"a": `{"x":"1 2"}`, "b": "two"} {
			if err := l.Share(t.Context(), "alerting", holder, []byte(body), time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Share(t.Context(), "alerting", "gone", []byte("old"), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what is over is not there", func() bool {
			got, err := l.Shared(t.Context(), "alerting")
			return err == nil && len(got) == 2 && string(got["a"]) == `{"x":"1 2"}` && string(got["b"]) == "two"
		})
		if got, err := l.Shared(t.Context(), "other"); err != nil || len(got) != 0 {
			t.Errorf("another name: %v %v", got, err)
		}
	})
}

// A body that did not change is not sent again, but its time goes on; one that
// Redis lost is put again.
func TestWhatIsTheSameIsToldOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l, other := start(t, Config{URL: url}), start(t, Config{URL: url})
		read := func() string {
			t.Helper()
			got, err := other.Shared(t.Context(), "alerts")
			if err != nil {
				t.Fatal(err)
			}
			return string(got["a"])
		}
		share := func(body string, ttl time.Duration) {
			t.Helper()
			if err := l.Share(t.Context(), "alerts", "a", []byte(body), ttl); err != nil {
				t.Fatal(err)
			}
		}
		share("one", time.Minute)
		if got := read(); got != "one" {
			t.Fatalf("%q", got)
		}
		// Whatever stands in the body's place stays there: the same is not sent.
		at := sharedBodyKey("alerts", "a")
		if err := l.client.Set(t.Context(), at, "kept", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		share("one", time.Hour)
		if got := l.client.Get(t.Context(), at).Val(); got != "kept" {
			t.Errorf("the same body was sent again: %q", got)
		}
		if left := l.client.PTTL(t.Context(), at).Val(); left < 30*time.Minute {
			t.Errorf("its time did not go on: %v", left)
		}
		if err := l.client.Del(t.Context(), at).Err(); err != nil {
			t.Fatal(err)
		}
		share("one", time.Minute)
		if got := l.client.Get(t.Context(), at).Val(); got != "one" {
			t.Errorf("what was lost was not put again: %q", got)
		}
		share("two", time.Minute)
		if got := read(); got != "two" {
			t.Errorf("%q", got)
		}
		if who, err := other.Sharers(t.Context(), "alerts"); err != nil || len(who) != 1 || who[0] != "a" {
			t.Errorf("%v %v", who, err)
		}
	})
}
