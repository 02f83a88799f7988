package agent_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/timeline"
)

// However the probe of a half-open breaker ends, or does not, the breaker lets
// another through and closes.
func TestAProbeCannotWedgeTheBreaker(t *testing.T) {
	leave := make(chan struct{})
	defer close(leave)
	for name, probe := range map[string]agent.Func{
		"panic": func(context.Context, agent.Task) (agent.Result, error) { panic("boom") },
		"goexit": func(context.Context, agent.Task) (agent.Result, error) {
			runtime.Goexit()
			return agent.Result{}, nil
		},
		"hangs": func(context.Context, agent.Task) (agent.Result, error) {
			<-leave
			return agent.Result{}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := quick
			cfg.Breaker = breaker.Config{ConsecutiveFailures: 1, OpenFor: 10 * time.Millisecond, MaxOpenFor: 20 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond}
			rec := agenttest.New(t, cfg)
			_, _ = rec.Do(t.Context(), task("trips", "bank"), failing(errUnwell))
			began := make(chan struct{})
			var once sync.Once
			until(t, "the probe", func() bool {
				go func() {
					_, _ = rec.Do(context.Background(), task("probes", "bank"), func(ctx context.Context, tk agent.Task) (agent.Result, error) {
						once.Do(func() { close(began) })
						return probe(ctx, tk)
					})
				}()
				select {
				case <-began:
					return true
				case <-time.After(20 * time.Millisecond): // still open
					return false
				}
			})
			until(t, "a success after the probe", func() bool {
				_, err := rec.Do(t.Context(), task("after", "bank"), succeeding)
				return err == nil
			})
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(rec.Collector().Events(""), func(e timeline.Event) bool { return e.Type == timeline.CircuitBreakerClosed }) {
				t.Error("that the breaker closed is not on record")
			}
		})
	}
}
