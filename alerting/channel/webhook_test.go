package channel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func hook(name, url string) Config {
	return Config{Name: name, Type: Webhook, URL: url, Secrets: []string{channeltest.SecretA}, AllowPrivate: true, Timeout: Duration(2 * time.Second)}
}

func newHook(t testing.TB, c Config) *Channel {
	t.Helper()
	ch, err := New(c, Links{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Close)
	return ch
}

func TestEitherSecretVerifies(t *testing.T) {
	for _, secret := range []string{channeltest.SecretA, channeltest.SecretB} {
		r := channeltest.New(t, secret)
		c := hook("h", r.URL)
		c.Secrets = []string{channeltest.SecretA, channeltest.SecretB}
		a := timeline.Alert{ID: timeline.TaskAlertID("default", "t1"), State: timeline.AlertFiring}
		if err := newHook(t, c).Notify(t.Context(), NewNotification(&a, 0, time.Now())); err != nil {
			t.Fatal(err)
		}
		r.Check(t)
		if got := r.Alerts(); len(got) != 1 || got[0].ID != a.ID {
			t.Errorf("got %+v", got)
		}
	}
}

func TestWebhookBody(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	a := timeline.Alert{ID: timeline.TaskAlertID("default", "t1"), Rule: "task_failed", Severity: timeline.AlertHigh, State: timeline.AlertFiring,
		Title: "payment t1 failed: exhausted", Namespace: "default", TaskID: "t1", StartsAt: at, UpdatedAt: at, Runs: 1, Run: 1}
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { body, _ = io.ReadAll(req.Body) }))
	defer srv.Close()
	w := newHook(t, hook("h", srv.URL))
	if err := w.Notify(t.Context(), NewNotification(&a, 0, at)); err != nil {
		t.Fatal(err)
	}
	const want = `{"type":"alert.firing","timestamp":"2026-03-04T05:06:07Z","data":{"id":"%s","rule":"task_failed","severity":"high",` +
		`"state":"firing","title":"payment t1 failed: exhausted","namespace":"default","task_id":"t1","run":1,` +
		`"starts_at":"2026-03-04T05:06:07Z","updated_at":"2026-03-04T05:06:07Z","runs":1}}`
	if got := string(body); got != fmt.Sprintf(want, a.ID) {
		t.Errorf("got  %s\nwant %s", got, fmt.Sprintf(want, a.ID))
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	for status, want := range map[int]outcome{
		200: delivered, 204: delivered, 301: refused, 302: refused, 307: refused, 400: refused, 401: refused, 404: refused, 413: refused,
		408: retry, 410: gone, 425: retry, 429: retry, 500: retry, 502: retry, 503: retry, 599: retry, 100: refused,
	} {
		if got := outcomeOf(status); got != want {
			t.Errorf("%d: %d, want %d", status, got, want)
		}
	}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "soon": 0, "99999999999999999999": 0, "86400": time.Hour,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second, now.Add(-time.Hour).Format(http.TimeFormat): 0,
		now.Add(48 * time.Hour).Format(http.TimeFormat): time.Hour,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("Retry-After %q: %v, want %v", header, got, want)
		}
	}
}

func TestAReceiverInTrouble(t *testing.T) {
	notify := func(t *testing.T, h http.HandlerFunc, timeout time.Duration) error {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		c := hook("h", srv.URL+"/secret-path")
		c.Timeout = Duration(timeout)
		w := newHook(t, c)
		err := w.Notify(t.Context(), Notification{ID: timeline.DeriveID("n")})
		if err == nil {
			t.Fatal("taken as delivered")
		}
		if strings.Contains(err.Error(), "secret-path") {
			t.Errorf("the error tells the URL: %v", err)
		}
		return err
	}
	t.Run("redirects", func(t *testing.T) {
		err := notify(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/secret-path" {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		}, time.Second)
		if d := AsDelivery(err); !d.Permanent || d.Status != 301 {
			t.Errorf("%+v", d)
		}
	})
	t.Run("asks for time", func(t *testing.T) {
		err := notify(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "33")
			w.WriteHeader(http.StatusTooManyRequests)
		}, time.Second)
		if d := AsDelivery(err); d.Permanent || d.After != 33*time.Second {
			t.Errorf("%+v", d)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		began := time.Now()
		err := notify(t, func(http.ResponseWriter, *http.Request) { <-release }, 100*time.Millisecond)
		if d := AsDelivery(err); d.Permanent || time.Since(began) > 5*time.Second {
			t.Errorf("%+v after %v", d, time.Since(began))
		}
		release <- struct{}{}
	})
	t.Run("answers without end", func(t *testing.T) {
		var sent atomic.Int64
		err := notify(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			for part := bytes.Repeat([]byte("x"), 64<<10); sent.Load() < 1<<30; sent.Add(int64(len(part))) {
				if _, err := w.Write(part); err != nil {
					return
				}
			}
		}, 5*time.Second)
		if d := AsDelivery(err); d.Status != 500 || len(err.Error()) > 1_000 || sent.Load() > 64<<20 {
			t.Errorf("%d bytes of an endless answer, error of %d", sent.Load(), len(err.Error()))
		}
	})
}

func TestAURLThatLeadsInsideIsNotCalled(t *testing.T) {
	called := false
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer srv.Close()
	port := srv.URL[strings.LastIndex(srv.URL, ":"):]
	for _, url := range []string{srv.URL, "http://localhost" + port, "http://[::ffff:127.0.0.1]" + port, "http://2130706433" + port} {
		c := hook("h", url)
		c.AllowPrivate = false
		w := newHook(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := w.Notify(ctx, Notification{}); err == nil || called {
			t.Errorf("%s: %v, called: %v", url, err, called)
		}
		cancel()
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Wed, 04 Mar 2026 05:06:07 GMT")
	f.Fuzz(func(t *testing.T, s string) {
		if d := retryAfter(s, time.Now()); d < 0 || d > longestRetryAfter {
			t.Errorf("%q: %v", s, d)
		}
	})
}
