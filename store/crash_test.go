package store_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/embedded"
	"github.com/tasktrail/tasktrail/store/storetest"
	"github.com/tasktrail/tasktrail/timeline"
)

// The engine is killed again and again under inserts that are tried until they
// succeed, as a sink does: afterwards every event is there, and none twice.
func TestKilledEngineLosesNothingAndRepeatsNothing(t *testing.T) {
	p, err := embedded.Start(t.Context(), storetest.Config(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	s, err := store.Open(t.Context(), store.Config{DSN: p.DSN(), ReaderDSN: p.ReaderDSN(), WriteTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	const batches, tasks = 40, 50
	script := lives(t)["retry_then_success"]
	done := make(chan error, 1)
	progress := make(chan int, batches)
	go func() {
		done <- func() error {
			for b := range batches {
				var events []timeline.Event
				for i := range tasks {
					events = append(events, live(t, timeline.Task{Namespace: "default", ID: fmt.Sprintf("%d-%d", b, i), Type: "mail", Queue: "q"}, script)...)
				}
				frames := [][]byte{frame(events...)}
				for deadline := time.Now().Add(time.Minute); ; {
					err := s.WriteFrames(t.Context(), fmt.Sprint("crash-", b), frames)
					if err == nil {
						break
					}
					var p interface{ Permanent() bool }
					if errors.As(err, &p) && p.Permanent() {
						return fmt.Errorf("a killed engine is no permanent error: %w", err)
					}
					if time.Now().After(deadline) {
						return err
					}
				}
				progress <- b
			}
			return nil
		}()
	}()
	kills := 0
	for running := true; running; {
		select {
		case b := <-progress:
			if b%8 == 4 {
				if pid := p.PID(); pid > 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
					kills++
				}
			}
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		}
	}
	if kills < 3 || p.Restarts() < kills {
		t.Fatalf("%d kills, %d restarts", kills, p.Restarts())
	}
	want := uint64(batches * tasks * len(script))
	counts := poll(t, func(ctx context.Context) (map[string]uint64, error) { return s.CountRows(t), s.Ping(ctx) })
	if counts["events"] != want {
		t.Errorf("%d rows after %d kills, want %d", counts["events"], kills, want)
	}
	h, err := s.Health(t.Context(), everything, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if h.Completed != batches*tasks || h.Tasks[timeline.StateCompleted] != batches*tasks || h.Execution.Count != 2*batches*tasks {
		t.Errorf("health after kills: %s", asJSON(t, h))
	}
}

// poll asks until there is no error.
func poll[T any](t *testing.T, ask func(context.Context) (T, error)) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		v, err := ask(ctx)
		if err == nil {
			return v
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
