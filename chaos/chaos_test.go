package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	rounds   = flag.Int("rounds", 1, "rounds of chaos, one workload each")
	seed     = flag.Uint64("seed", 0, "seed of the first round; 0 for one of the clock; the next rounds count on from it")
	duration = flag.Duration("duration", 6*time.Second, "how long things go wrong in each of a round's two storms")
	leases   = flag.Bool("leases", false, "kill the worker on asynq too: asynq gives its tasks to another after 30 to 90 s, and the round waits for that")
	scale    = flag.Int("scale", 1, "tasks of a round, in units of 132")
)

// Whatever dies, stalls or breaks: what was accepted is there, once; every task has
// the end its service gave it; and whoever is to be told is told once.
func TestChaos(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	s := startSystem(t)
	var all []*task
	for round := range *rounds {
		n := first + uint64(round)
		began := time.Now()
		t.Logf("round %d: -seed %d", round+1, n)
		r := rand.New(rand.NewPCG(n, 0))
		tasks := draw(r, round, *scale)
		all = append(all, tasks...)
		sweeps := s.round(r, tasks)
		all = append(all, sweeps...)
		s.check(all, tasks)
		if t.Failed() {
			t.Fatalf("round %d failed: go test ./chaos -run TestChaos -rounds 1 -seed %d -duration %v -leases=%v -clocks=%v", round+1, n, *duration, *leases, *withClocks)
		}
		t.Logf("round %d: %d tasks so far, %v", round+1, len(all), time.Since(began).Round(time.Second))
	}
}

// round is a storm over a workload, and a second one over the retries of a part of
// what died.
func (s *system) round(r *rand.Rand, tasks []*task) []*task {
	s.lap("")
	var work sync.WaitGroup
	work.Go(func() { s.submit(s.t.Context(), tasks, *duration) })
	s.storm(r, *duration)
	work.Wait()
	s.lap("the first storm")
	sweeps := s.quiet(tasks)
	s.lap("coming to rest")

	var again []*task
	for _, t := range tasks {
		if t.requeueable() && !t.plan.completes(1) && r.IntN(2) == 0 {
			again = append(again, t)
		}
	}
	work.Go(func() {
		for _, t := range again {
			pause(*duration / time.Duration(len(again)+1))
			s.retry(s.t.Context(), t)
		}
	})
	s.storm(r, *duration)
	work.Wait()
	s.lap("the second storm, of retries")
	sweeps = append(sweeps, s.quiet(tasks)...)
	s.lap("coming to rest")
	return sweeps
}

// lap says how long a part of a round took.
func (s *system) lap(what string) {
	if what != "" {
		s.log(fmt.Sprintf("%s took %v", what, time.Since(s.lapBegan).Round(10*time.Millisecond)))
	}
	s.lapBegan = time.Now()
}

func (s *system) log(what string) { s.t.Log("  " + what) }

func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

// pause lets a fault last: what happens meanwhile is up to the processes.
func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

func contains(s, part string) bool { return strings.Contains(s, part) }
