package query

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// slowHealth takes a while, and counts.
type slowHealth struct {
	HealthReader
	mu    sync.Mutex
	calls int
	err   error
}

func (s *slowHealth) Health(_ context.Context, scope readmodel.Scope, _ time.Duration) (readmodel.Health, error) {
	s.mu.Lock()
	s.calls++
	err := s.err
	s.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	return readmodel.Health{Stale: scope.UserID}, err
}

func TestHealthIsReadOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := &slowHealth{}
		c := newReadCache(t.Context(), 500*time.Millisecond, 10*time.Second, time.Now, func(ctx context.Context, k healthKey) (readmodel.Health, error) {
			return reader.Health(ctx, k.scope, k.window)
		})
		ask := func(user string) {
			t.Helper()
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if h, err := c.read(t.Context(), healthKey{readmodel.Scope{UserID: user}, time.Hour}); h.Stale != user || (err != nil) != (reader.err != nil) {
						t.Errorf("%+v, %v", h, err)
					}
				})
			}
			wg.Wait()
		}
		want := func(n int) {
			t.Helper()
			if reader.calls != n {
				t.Fatalf("%d reads, want %d", reader.calls, n)
			}
		}
		ask("u1")
		want(1)
		ask("u1")
		want(1)
		ask("u2") // another's is another's
		want(2)
		time.Sleep(600 * time.Millisecond)
		ask("u1")
		want(3)
		// An error is not kept, and one who gives up does not make the others' fail.
		time.Sleep(600 * time.Millisecond)
		reader.err = errors.New("away")
		ask("u1")
		want(4)
		reader.err = nil
		gone, cancel := context.WithCancel(t.Context())
		go func() {
			if _, err := c.read(gone, healthKey{readmodel.Scope{}, time.Hour}); err != nil {
				t.Errorf("the first who asked: %v", err)
			}
		}()
		synctest.Wait()
		second, giveUp := context.WithCancel(t.Context())
		giveUp()
		if _, err := c.read(second, healthKey{readmodel.Scope{}, time.Hour}); !errors.Is(err, context.Canceled) {
			t.Errorf("one who gave up: %v", err)
		}
		cancel()
		if _, err := c.read(t.Context(), healthKey{readmodel.Scope{}, time.Hour}); err != nil {
			t.Errorf("the other: %v", err)
		}
	})
}
