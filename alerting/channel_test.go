package alerting

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestADeadChannelDelaysNoOther(t *testing.T) {
	dead1 := channeltest.New(t, channeltest.SecretA)
	dead1.Status.Store(http.StatusInternalServerError)
	alive := channeltest.New(t, channeltest.SecretA)
	quietOne := hook("loud-only", alive.URL)
	quietOne.MinSeverity = "critical"
	a := start(t, Config{Channels: []channel.Config{hook("dead", dead1.URL), hook("alive", alive.URL), quietOne}}, nil)
	const n = 50
	for i := range n {
		write(t, a, dead(fmt.Sprint("t", i), 1, timeline.FailExhausted))
	}
	eventually(t, "the living channel has all", func() bool { return a.Stats().Channels[1].Delivered == n })
	s := a.Stats().Channels
	if s[0].Queued != n || s[0].Delivered != 0 || s[1].Queued != 0 || s[1].Delivered != n || s[2].Delivered != 0 {
		t.Errorf("stats %+v", s)
	}
	if calls := dead1.Calls(); calls > 20 {
		t.Errorf("the dead channel was called %d times without a rest", calls)
	}
	alive.Check(t)
}

func TestARetriedCallKeepsItsIDAndItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.setDown(true)
		a := start(t, Config{}, r)
		defer a.Close()
		write(t, a, dead("t1", 1, timeline.FailExhausted))
		time.Sleep(time.Minute)
		write(t, a, dead("t1", 2, timeline.FailExhausted), event(timeline.TaskCompleted, "t1", 3))
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := a.Stats().Channels[0]; s.Queued != 3 || s.Retried < 10 || s.Retried > 60 {
			t.Errorf("stats %+v", s)
		}
		r.setDown(false)
		time.Sleep(longestBackoff * 2)
		synctest.Wait()
		got := slices.DeleteFunc(r.Alerts(), func(a timeline.Alert) bool { return a.Rule == RuleChannelFailing })
		if len(got) != 2 || len(r.Alerts()) != 4 || got[0].State != timeline.AlertFiring || got[0].Runs != 2 || got[1].State != timeline.AlertResolved {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAQueueIsBoundedAndGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.setDown(true)
		a := start(t, Config{MaxQueue: 10, MaxAge: 2 * time.Hour}, r)
		defer a.Close()
		for i := range 30 {
			write(t, a, dead(fmt.Sprint("t", i), 1, timeline.FailExhausted))
		}
		if s := a.Stats().Channels[0]; s.Queued != 10 || s.Overflowed != 20 {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if s := a.Stats().Channels[0]; s.Queued != 0 || s.Expired != 10 {
			t.Errorf("after its age: %+v", s)
		}
	})
}

func TestAReceiverThatIsGoneIsDisabledWithNotice(t *testing.T) {
	goneOne := channeltest.New(t, channeltest.SecretA)
	goneOne.Status.Store(http.StatusGone)
	other := channeltest.New(t, channeltest.SecretA)
	dir := t.TempDir()
	cfg := Config{Dir: dir, Channels: []channel.Config{hook("gone", goneOne.URL), hook("other", other.URL)}}
	a := start(t, cfg, nil)
	write(t, a, dead("t1", 1, timeline.FailExhausted))
	eventually(t, "the other is told", func() bool {
		for _, al := range other.Alerts() {
			if al.Rule == RuleChannelDisabled && strings.Contains(al.Title, "gone") {
				return true
			}
		}
		return false
	})
	write(t, a, dead("t2", 1, timeline.FailExhausted))
	eventually(t, "delivered", func() bool { return a.Stats().Channels[1].Queued == 0 })
	// Skipped: the call that was refused, the notice of it, and the next one.
	if s := a.Stats().Channels[0]; s.Disabled == "" || s.Queued != 0 || s.Skipped != 3 || goneOne.Calls() != 1 {
		t.Errorf("stats %+v after %d calls", s, goneOne.Calls())
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// It stays so over a restart, until it leads elsewhere.
	a = start(t, cfg, nil)
	if s := a.Stats().Channels[0]; s.Disabled == "" {
		t.Error("enabled by a restart")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	goneOne.Status.Store(http.StatusOK)
	cfg.Channels[0].URL += "/new"
	a = start(t, cfg, nil)
	write(t, a, dead("t3", 1, timeline.FailExhausted))
	eventually(t, "delivered at the new URL", func() bool { return len(goneOne.Alerts()) == 1 })
}

func TestARestartLosesNothingUndelivered(t *testing.T) {
	r := newRecorder()
	r.setDown(true)
	dir := t.TempDir()
	a := start(t, Config{Dir: dir}, r)
	write(t, a, dead("t1", 1, timeline.FailExhausted), dead("t2", 1, timeline.FailExhausted))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	r.setDown(false)
	a = start(t, Config{Dir: dir}, r)
	eventually(t, "delivered", func() bool { return len(r.Alerts()) == 2 })
	eventually(t, "settled", func() bool { return a.Stats().Channels[0].Queued == 0 })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = start(t, Config{Dir: dir}, r)
	if s := a.Stats(); s.Channels[0].Queued != 0 || s.Firing != 2 {
		t.Errorf("stats %+v", s)
	}
}

// A process that is killed leaves its directory as it is at that moment; the
// follower then reads again from its cursor, which may be some batches behind.
func TestEveryTaskHasOneAlertHoweverOftenAlertingIsKilled(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { killed(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func killed(t *testing.T, rnd *rand.Rand) {
	const tasks = 40
	r := channeltest.New(t, channeltest.SecretA)
	var log [][]timeline.Event // batches, as the log has them
	fires := map[string]bool{}
	for i := range tasks {
		id := fmt.Sprint("t", i)
		events := []timeline.Event{dead(id, 1, timeline.FailExhausted)}
		fires[id] = true
		if i%2 == 0 {
			events = append(events, dead(id, 2, timeline.FailPermanent))
		}
		if i%3 == 0 {
			events = append(events, event(timeline.TaskCompleted, id, 3))
			fires[id] = false
		}
		for _, e := range events {
			log = append(log, []timeline.Event{e})
		}
	}
	cfg := Config{Dir: t.TempDir(), Channels: []channel.Config{hook("h", r.URL)}, Logger: quiet}
	cfg.Channels[0].Timeout = channel.Duration(5 * time.Second)
	a := start(t, cfg, nil)
	kills := 0
	for at := 0; at < len(log); {
		write(t, a, log[at]...)
		at++
		if rnd.IntN(6) != 0 {
			continue
		}
		// Kill: what is on the disk now is what the next one finds.
		if rnd.IntN(2) == 0 {
			r.Status.Store(http.StatusServiceUnavailable)
		} else {
			r.Status.Store(http.StatusOK)
		}
		next := t.TempDir()
		b, err := os.ReadFile(filepath.Join(cfg.Dir, "alerts.journal"))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, "0badc0de {\"torn"...) // and a write was under way
		if err := os.WriteFile(filepath.Join(next, "alerts.journal"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.Dir = next
		a = start(t, cfg, nil)
		at = max(0, at-rnd.IntN(5)) // the cursor is behind
		kills++
	}
	r.Status.Store(http.StatusOK)
	eventually(t, "delivered", func() bool { return a.Stats().Channels[0].Queued == 0 })
	r.Check(t)
	ids, last := map[string]map[timeline.ID]bool{}, map[string]timeline.AlertState{}
	for _, al := range r.Alerts() {
		if ids[al.TaskID] == nil {
			ids[al.TaskID] = map[timeline.ID]bool{}
		}
		ids[al.TaskID][al.ID] = true
		last[al.TaskID] = al.State
	}
	for id, fire := range fires {
		if len(ids[id]) != 1 {
			t.Errorf("%s has %d alert ids at the receiver after %d kills", id, len(ids[id]), kills)
		}
		if now := a.state.alerts[timeline.TaskAlertID("default", id)]; (now.State == timeline.AlertFiring) != fire || now.Runs != 1+(1-int(id[len(id)-1])%2) {
			t.Errorf("%s: %+v, want firing %v", id, now, fire)
		}
	}
	if kills == 0 {
		t.Error("nothing was killed")
	}
}

func TestTheJournalIsRewrittenAndStillTrue(t *testing.T) {
	dir := t.TempDir()
	a := open(t, Config{Dir: dir}, nil)
	for i := range 50 {
		write(t, a, dead(fmt.Sprint("t", i), 1, timeline.FailExhausted))
	}
	write(t, a, dead("waits", 1, timeline.FailCircuitOpen), breaker(timeline.CircuitBreakerOpened, "s", time.Now(), time.Minute))
	want := a.Stats()
	if err := a.rewrite(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = open(t, Config{Dir: dir}, nil)
	if got := a.Stats(); got.Firing != want.Firing || got.Tasks != want.Tasks || len(a.state.waiting) != 1 || len(a.state.breakers) != 1 {
		t.Errorf("%+v became %+v", want, got)
	}
}

func TestLifecycle(t *testing.T) {
	dir := t.TempDir()
	a := start(t, Config{Dir: dir}, newRecorder())
	if err := a.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	if _, err := New(Config{Dir: dir, Logger: quiet}, Deps{}); err == nil {
		t.Error("two processes use one directory")
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Start(t.Context()); err == nil {
		t.Error("started after close")
	}
	if err := a.Write(t.Context(), batch(dead("t1", 1, timeline.FailExhausted))); err == nil {
		t.Error("written after close")
	}
}

func TestReadersAndWriterAtOnce(t *testing.T) {
	r := newRecorder()
	a := start(t, Config{}, r)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					a.Stats()
					a.Alerts("default", true)
				}
			}
		})
	}
	for i := range 50 {
		write(t, a, dead(fmt.Sprint("t", i), 1, timeline.FailExhausted))
	}
	close(stop)
	wg.Wait()
	eventually(t, "delivered", func() bool { return len(r.Alerts()) == 50 })
}

func TestConfigNamesAllItsFaultsAndNoSecret(t *testing.T) {
	err := Config{MaxTasks: -1, Channels: []channel.Config{
		{Name: "a", Type: "pigeon", URL: "ftp://x", Secrets: []string{"whsec_hunter2hunter2"}, MinSeverity: "loud"},
		{Name: "a", Type: "webhook", URL: "https://x", Secrets: []string{channeltest.SecretA, channeltest.SecretA, "whsec_hunter2hunter2"}, Timeout: channel.Duration(time.Hour)},
		{Name: "redis", Type: "webhook", URL: "https://u:p@x", Parallel: 100},
	}}.Validate()
	for _, want := range []string{"dir", "max_tasks", "type", "url", "secrets[2]", "min_severity", "the name is taken", "3 of them", "timeout", "parallel"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not name %s", err, want)
		}
	}
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("the error holds a secret: %v", err)
	}
	if err := (Config{Dir: "x", Channels: []channel.Config{hook("a", "https://x/y")}}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	for n := -1; n < 200; n++ {
		for range 50 {
			if d := backoff(n); d < firstBackoff*3/4 || d > longestBackoff {
				t.Fatalf("backoff %d: %v", n, d)
			}
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	a := open(b, Config{}, newRecorder())
	var events []timeline.Event
	for i := range 1_000 {
		e := event(timeline.TaskCompleted, fmt.Sprint("t", i), 1)
		e.Type = timeline.AttemptStarted
		events = append(events, e)
	}
	bt := batch(events...)
	for b.Loop() {
		if err := a.Write(b.Context(), bt); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1_000/b.Elapsed().Seconds(), "events/s")
}
