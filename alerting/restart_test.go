package alerting

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/timeline"
)

// leftBehind copies what a process that is killed now leaves on the disk.
func leftBehind(t *testing.T, dir string) string {
	t.Helper()
	next := t.TempDir()
	for _, name := range []string{"alerts.journal", countsFile} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(next, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return next
}

// idsOf gives the webhook-ids under which each state of an alert came.
func idsOf(r *channeltest.Receiver, of func(*timeline.Alert) string) map[string]map[string]int {
	out := map[string]map[string]int{}
	for _, c := range r.Got() {
		k := of(&c.Data) + " " + string(c.Data.State)
		if out[k] == nil {
			out[k] = map[string]int{}
		}
		out[k][c.ID]++
	}
	return out
}

// A receiver that took a call and was not heard, whether alerting is closed or
// killed meanwhile, is called again under the id it knows.
func TestACallThatIsMadeAgainAfterARestartHasItsID(t *testing.T) {
	for _, how := range []string{"closed", "killed"} {
		t.Run(how, func(t *testing.T) {
			r := channeltest.New(t, channeltest.SecretA)
			r.Status.Store(http.StatusBadGateway)
			r.Keeps.Store(true)
			cfg := Config{Dir: t.TempDir(), Channels: []channel.Config{hook("h", r.URL)}}
			a := start(t, cfg, nil)
			const tasks = 20
			for i := range tasks {
				write(t, a, dead(fmt.Sprint("t", i), 1, timeline.FailExhausted))
			}
			eventually(t, "a call", func() bool { return r.Calls() > 0 })
			if how == "killed" {
				cfg.Dir = leftBehind(t, cfg.Dir)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			r.Status.Store(http.StatusNoContent)
			a = start(t, cfg, nil)
			eventually(t, "all delivered", func() bool { return a.Stats().Channels[0].Queued == 0 })
			got := idsOf(r, func(al *timeline.Alert) string { return al.TaskID })
			again := 0
			for what, ids := range got {
				if len(ids) != 1 {
					t.Errorf("%s came under %d ids: %v", what, len(ids), ids)
				}
				for _, n := range ids {
					again += n - 1
				}
			}
			if len(got) != tasks || again == 0 {
				t.Errorf("%d alerts of %d, %d calls made again", len(got), tasks, again)
			}
			r.Check(t)
		})
	}
}

// A call that is under way when alerting is closed comes to its end, and is not
// made again.
func TestClosingLetsACallEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		cfg := Config{Dir: t.TempDir()}
		slow := func(took time.Duration) Publisher {
			return publisherFunc(func(ctx context.Context, al timeline.Alert) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(took):
					return r.PublishAlert(ctx, al)
				}
			})
		}
		a := start(t, cfg, slow(lastWord/2))
		write(t, a, dead("t1", 1, timeline.FailExhausted))
		synctest.Wait()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		a = start(t, cfg, slow(time.Hour))
		if n := a.Stats().Channels[0].Queued; n != 0 || len(r.Alerts()) != 1 {
			t.Errorf("%d wait, told %v", n, r.Alerts())
		}
		// One that takes longer is cut off.
		write(t, a, dead("t2", 1, timeline.FailExhausted))
		synctest.Wait()
		began := time.Now()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != lastWord {
			t.Errorf("closing took %v", took)
		}
		a = start(t, cfg, r)
		defer a.Close()
		synctest.Wait()
		if got := r.Alerts(); len(got) != 2 || got[1].TaskID != "t2" {
			t.Errorf("told %v", got)
		}
	})
}

type publisherFunc func(context.Context, timeline.Alert) error

func (f publisherFunc) PublishAlert(ctx context.Context, al timeline.Alert) error { return f(ctx, al) }

// What rules counted is kept every ten seconds, what they decided at once. A
// process that is killed between the two makes no second call of what it told, and
// says when that is over.
func TestARulesAlertIsToldOnceAcrossAKill(t *testing.T) {
	const failures = 3
	fail := func(t *testing.T, a *Alerting, n int, typ timeline.Type) {
		for i := range n {
			write(t, a, event(typ, fmt.Sprint(typ, i, time.Now().UnixNano()), 1))
		}
	}
	begin := func(t *testing.T, dir string) (*Alerting, *recorder) {
		file := filepath.Join(dir, "rules.yaml")
		if err := os.WriteFile(file, []byte(fmt.Sprintf("rules: [{name: row, kind: consecutive_failures, failures: %d}, {name: lost, kind: lost_tasks, above: 0, window: 10m, for: 30s}]\n", failures)), 0o600); err != nil {
			t.Fatal(err)
		}
		r := newRecorder()
		a := openWith(t, Config{Dir: dir, RulesFile: file, Holder: "h", EvaluateEvery: time.Second}, Deps{Publisher: r})
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a, r
	}
	pass := func(d time.Duration) {
		time.Sleep(d) // of the bubble's clock
		synctest.Wait()
	}
	said := func(r *recorder) (out []string) {
		for _, al := range r.Alerts() {
			out = append(out, al.Rule+" "+string(al.State))
		}
		return out
	}
	t.Run("fired since the counts were kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, r := begin(t, t.TempDir())
			pass(12 * time.Second) // the counts are kept, empty
			fail(t, a, failures, timeline.TaskFailed)
			pass(2 * time.Second)
			if got := said(r); len(got) != 1 || got[0] != "row firing" {
				t.Fatalf("told %v", got)
			}
			told := firing(a)[0]
			dir := leftBehind(t, a.cfg.Dir)
			_ = a.Close()
			a, r = begin(t, dir)
			defer a.Close()
			pass(5 * time.Second)
			fail(t, a, failures, timeline.TaskFailed)
			pass(5 * time.Second)
			if got := said(r); len(got) != 0 {
				t.Errorf("told again: %v", got)
			}
			if now := firing(a); len(now) != 1 || now[0].ID != told.ID || !now[0].UpdatedAt.Equal(told.UpdatedAt) {
				t.Errorf("%+v became %+v", told, now)
			}
			fail(t, a, 1, timeline.TaskCompleted)
			pass(5 * time.Second)
			if got := said(r); len(got) != 1 || got[0] != "row resolved" {
				t.Errorf("over: told %v", got)
			}
		})
	})
	t.Run("over since the counts were kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, r := begin(t, t.TempDir())
			fail(t, a, failures, timeline.TaskFailed)
			pass(12 * time.Second) // it fired, and the counts are kept
			fail(t, a, 1, timeline.TaskCompleted)
			pass(2 * time.Second)
			if got := said(r); len(got) != 2 || got[1] != "row resolved" {
				t.Fatalf("told %v", got)
			}
			dir := leftBehind(t, a.cfg.Dir)
			_ = a.Close()
			a, r = begin(t, dir)
			defer a.Close()
			// The follower reads again from its cursor: what was counted last comes again.
			fail(t, a, 1, timeline.TaskCompleted)
			pass(5 * time.Second)
			if got := said(r); len(got) != 0 || len(firing(a)) != 0 {
				t.Errorf("told %v, firing %v", got, firing(a))
			}
		})
	})
	t.Run("pending since the counts were kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, _ := begin(t, t.TempDir())
			pass(12 * time.Second)
			fail(t, a, 1, timeline.TaskLost)
			pass(5 * time.Second)
			began := a.Alerts("default", false)
			if len(began) != 1 || began[0].State != timeline.AlertPending {
				t.Fatalf("%+v", began)
			}
			dir := leftBehind(t, a.cfg.Dir)
			_ = a.Close()
			a, r := begin(t, dir)
			defer a.Close()
			fail(t, a, 1, timeline.TaskLost)
			pass(27 * time.Second) // 30 s since it began
			if got := said(r); len(got) != 1 || got[0] != "lost firing" || !r.Alerts()[0].StartsAt.Equal(began[0].StartsAt) {
				t.Errorf("told %v of what began %v: %+v", got, began[0].StartsAt, r.Alerts())
			}
		})
	})
}

// A process that is killed while it writes leaves a part of that behind. What is
// read again from the log is decided as if nothing had been written: nobody goes
// uncalled, and nobody is called twice.
func TestADecisionThatWasHalfWrittenIsMadeAgain(t *testing.T) {
	now := time.Now()
	opened := breaker(timeline.CircuitBreakerOpened, "s", now, time.Minute)
	closes := breaker(timeline.CircuitBreakerClosed, "s", now.Add(time.Second), 0)
	for name, log := range map[string][][]timeline.Event{
		"fails":     {{dead("t1", 1, timeline.FailExhausted), dead("t2", 1, timeline.FailExhausted)}},
		"completes": {{dead("t1", 1, timeline.FailExhausted)}, {event(timeline.TaskCompleted, "t1", 2)}},
		"opens":     {{opened}},
		"closes":    {{opened}, {closes}},
	} {
		t.Run(name, func(t *testing.T) {
			play := func(dir string, batches ...[]timeline.Event) (*Alerting, map[timeline.ID]timeline.AlertState) {
				cfg := Config{Dir: dir, Channels: []channel.Config{hook("h", "http://127.0.0.1:9/x")}}
				a := open(t, cfg, nil)
				for _, b := range batches {
					write(t, a, b...)
				}
				told := map[timeline.ID]timeline.AlertState{}
				a.mu.Lock()
				defer a.mu.Unlock()
				a.round(time.Now())
				for _, q := range a.state.channel("h").queue {
					if old, twice := told[q.ID]; twice {
						t.Errorf("notification %s twice: %s and %s", q.ID, old, q.Alert.State)
					}
					told[q.ID] = q.Alert.State
				}
				return a, told
			}
			whole := t.TempDir()
			path := filepath.Join(whole, "alerts.journal")
			a, _ := play(whole)
			var sizes []int // of the journal after each batch
			for _, batch := range log {
				write(t, a, batch...)
				st, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				sizes = append(sizes, int(st.Size()))
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			a, want := play(whole)
			_ = a.Close()
			for cut := range b {
				if cut > 0 && b[cut-1] != '\n' && cut%97 != 0 {
					continue // between its lines, and here and there within one
				}
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "alerts.journal"), b[:cut], 0o600); err != nil {
					t.Fatal(err)
				}
				// What was not acknowledged is read again.
				again := log
				for len(again) > 0 && cut >= sizes[len(log)-len(again)] {
					again = again[1:]
				}
				a, got := play(dir, again...)
				_ = a.Close()
				if !maps.Equal(got, want) {
					t.Fatalf("cut at %d of %d: told %v, want %v", cut, len(b), got, want)
				}
			}
		})
	}
}
