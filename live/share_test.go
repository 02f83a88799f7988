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
