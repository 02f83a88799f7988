package alerting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestTheFileIsReadAgainAndABadOneChangesNothing(t *testing.T) {
	r := channeltest.New(t, channeltest.SecretA)
	path := filepath.Join(t.TempDir(), "rules.yaml")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	channels := fmt.Sprintf("channels: [{name: h, type: webhook, url: %q, secrets: [%q], allow_private: true, timeout: 2s, match: {type: payment}}]\n", r.URL, channeltest.SecretA)
	put("severity: {types: [{match: {type: payment}, severity: medium}]}\nrules: [{name: lost, kind: lost_tasks, above: 0}]\n" + channels)
	a := start(t, Config{RulesFile: path, EvaluateEvery: 20 * time.Millisecond}, nil)
	write(t, a, event(timeline.TaskLost, "l1", 1))
	eventually(t, "the rule fires", func() bool { return len(firing(a)) == 1 && firing(a)[0].Rule == "lost" })
	put("rules: [{name: lost, kind: lost_tasks}]\n" + channels)
	err := a.Reload()
	if err == nil || !strings.Contains(err.Error(), "line 1, column 9: the rule has no above") {
		t.Errorf("%v", err)
	}
	if len(a.engine.Rules()) != 1 || len(a.channels) != 1 {
		t.Error("the old rules are not in force")
	}
	bad := false
	for _, al := range firing(a) {
		bad = bad || al.Rule == RuleFileBad
	}
	if !bad {
		t.Error("nobody was told")
	}
	put("rules: [{name: more, kind: lost_tasks, above: 5}]\nwatchdog: {url: 'https://example.org/x', every: 30s}\n" + strings.Replace(channels, "timeout: 2s", "timeout: 3s", 1))
	eventually(t, "the change is seen", func() bool {
		for _, r := range a.engine.Rules() {
			if r.Name == "more" {
				return true
			}
		}
		return false
	})
	eventually(t, "what the old rule found, and the file's trouble, are over", func() bool { return len(firing(a)) == 0 })
	write(t, a, dead("t1", 1, timeline.FailExhausted))
	eventually(t, "the new channel delivers", func() bool { return len(r.Alerts()) > 0 })
	for text, want := range map[string]string{
		"channels: [{name: h, type: pigeon}]":                        "line 1, column 12: channel: type: ",
		"channels:\n  - {name: a, type: slack, url: 'x', odd: 1}":    "line 2, column 5: channel: json: unknown field \"odd\"",
		"watchdog: {url: nowhere}":                                   "line 1, column 11: watchdog: url: want https://",
		"channels: [{name: redis, type: slack, url: 'https://x/y'}]": "the name \"redis\" is taken",
	} {
		if _, _, _, err := ParseFile([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := New(Config{Dir: t.TempDir(), RulesFile: filepath.Join(t.TempDir(), "none"), Logger: quiet}, Deps{}); err == nil {
		t.Error("began without its rules")
	}
}

func TestTheWatchdogBarksWhileAlertingWorks(t *testing.T) {
	var calls atomic.Int64
	var body atomic.Value
	dog := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body.Store(string(b))
		calls.Add(1)
	}))
	defer dog.Close()
	r := channeltest.New(t, channeltest.SecretA)
	path := filepath.Join(t.TempDir(), "rules.yaml")
	text := fmt.Sprintf("watchdog: {url: %q, every: 1s, allow_private: true}\nchannels: [{name: h, type: webhook, url: %q, secrets: [%q], allow_private: true}]\n", dog.URL, r.URL, channeltest.SecretA)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := start(t, Config{RulesFile: path, FailingAfter: time.Nanosecond}, nil)
	eventually(t, "signals", func() bool { return calls.Load() >= 2 })
	if s, _ := body.Load().(string); !strings.Contains(s, `"type":"watchdog"`) {
		t.Errorf("body %s", s)
	}
	r.Status.Store(http.StatusInternalServerError)
	write(t, a, dead("t1", 1, timeline.FailExhausted))
	eventually(t, "it is withheld while nothing can be delivered", func() bool { return a.Stats().WatchdogWithheld > 0 })
	r.Status.Store(http.StatusOK)
	n := calls.Load()
	eventually(t, "it comes again", func() bool { return calls.Load() > n })
}

// board is a Fleet in memory that can go away.
type board struct {
	mu     sync.Mutex
	down   bool
	holder string
	until  time.Time
	bodies map[string][]byte
}

func (b *board) Lease(_ context.Context, _, holder string, ttl time.Duration) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return false, errors.New("down")
	}
	now := time.Now()
	if b.holder == "" || b.holder == holder || !now.Before(b.until) {
		b.holder, b.until = holder, now.Add(ttl)
	}
	return b.holder == holder, nil
}

func (b *board) Share(_ context.Context, _, holder string, body []byte, _ time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return errors.New("down")
	}
	b.bodies[holder] = body
	return nil
}

func (b *board) Shared(context.Context, string) (map[string][]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string][]byte{}
	for k, v := range b.bodies {
		out[k] = v
	}
	return out, nil
}

func TestOneCollectorDecidesForAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte("rules: [{name: rate, kind: failure_rate, above: 50%, min_samples: 10, window: 10m}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		fleet := &board{bodies: map[string][]byte{}}
		r := newRecorder()
		collector := func() *Alerting {
			a := openWith(t, Config{RulesFile: path}, Deps{Publisher: r, Fleet: fleet})
			if err := a.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			return a
		}
		a := collector()
		time.Sleep(6 * time.Second)
		b := collector()
		defer b.Close()
		// Neither of them has seen enough to call on its own.
		for i := range 6 {
			write(t, a, event(timeline.TaskFailed, fmt.Sprint("a", i), 1))
			write(t, b, event(timeline.TaskFailed, fmt.Sprint("b", i), 1))
		}
		n := 0
		for range 30 { // and it ends as soon as it called
			if n = pass(r, time.Second); n > 0 {
				break
			}
		}
		if n != 1 || r.Alerts()[0].Rule != "rate" {
			t.Fatalf("%d calls: %+v", n, r.Alerts())
		}
		if len(firing(a)) != 1 || len(firing(b)) != 0 {
			t.Error("the other one decides too")
		}
		if err := a.Close(); err != nil { // the one that decided is gone
			t.Fatal(err)
		}
		pass(r, time.Minute)
		got := r.Alerts()
		for _, al := range got {
			if al.ID != got[0].ID || al.State != timeline.AlertFiring || !al.UpdatedAt.Equal(got[0].UpdatedAt) {
				t.Errorf("the next one calls for something else: %+v", al)
			}
		}
		if len(firing(b)) != 1 {
			t.Error("the next one does not know")
		}
		fleet.mu.Lock()
		fleet.down = true // Redis is away: it goes on over what it counted itself
		fleet.mu.Unlock()
		for i := range 30 {
			write(t, b, event(timeline.TaskCompleted, fmt.Sprint("c", i), 1))
		}
		pass(r, 10*time.Second)
		if got = r.Alerts(); got[len(got)-1].State != timeline.AlertResolved {
			t.Errorf("calls %+v", got)
		}
	})
}

type settled map[string]int

func (s settled) SettledRuns(context.Context, string, []string) (map[string]int, error) {
	return s, nil
}

func TestWhatAnotherCollectorHeardEndsAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openWith(t, Config{}, Deps{Settled: settled{"t1": 2, "t2": 1}})
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		write(t, a, dead("t1", 1, timeline.FailExhausted), dead("t2", 1, timeline.FailExhausted), dead("t2", 2, timeline.FailExhausted), dead("t3", 1, timeline.FailExhausted))
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		f := map[string]bool{}
		for _, al := range firing(a) {
			f[al.TaskID] = true
		}
		if f["t1"] || !f["t2"] || !f["t3"] {
			t.Errorf("firing %v", f)
		}
	})
}
