package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"github.com/tasktrail/tasktrail/internal/proctest"
)

// fault is something that goes wrong for a while. begin returns what ends it.
type fault struct {
	name string
	// longest is how long it lasts at most.
	longest time.Duration
	begin   func(s *system) (end func())
}

func stopped(name string, group bool, pid func(s *system) int) fault {
	return fault{"SIGSTOP of " + name, 2 * time.Second, func(s *system) func() {
		p := pid(s)
		kill(p, group, syscall.SIGSTOP)
		return func() { kill(p, group, syscall.SIGCONT) }
	}}
}

func under(w weather, longest time.Duration) fault {
	return fault{"the collector's connection: " + weathers[w], longest, func(s *system) func() {
		s.proxy.set(w)
		return func() { s.proxy.set(fair) }
	}}
}

var faults = []fault{
	{"SIGKILL of the worker", time.Second, func(s *system) func() { s.worker.Kill(); return s.startWorker }},
	{"SIGKILL of the sidecar", time.Second, func(s *system) func() { s.sidecar.Kill(); return s.startSidecar }},
	{"SIGKILL of up and its engine", time.Second, func(s *system) func() { s.up.Process.Kill(); return s.up.Begin }},
	{"SIGKILL of up alone", time.Second, func(s *system) func() { s.up.Process.KillAlone(); return s.up.Begin }},
	{"SIGKILL of the engine", 0, func(s *system) func() { kill(s.up.Engine(), false, syscall.SIGKILL); return func() {} }},
	{"SIGKILL of Redis, which comes back empty", time.Second, func(s *system) func() { s.redis.Kill(); return s.startRedis }},
	{"SIGTERM and start of up", 0, func(s *system) func() {
		ctx, stop := within(s.t.Context(), 30*time.Second)
		defer stop()
		s.ended("up", s.up.Process.Stop(ctx))
		return s.up.Begin
	}},
	{"SIGTERM and start of the sidecar", 0, func(s *system) func() {
		ctx, stop := within(s.t.Context(), 40*time.Second)
		defer stop()
		s.ended("the sidecar", s.sidecar.Stop(ctx))
		return s.startSidecar
	}},
	stopped("the worker", false, func(s *system) int { return s.worker.Pid() }),
	stopped("the sidecar", false, func(s *system) int { return s.sidecar.Pid() }),
	stopped("up and its engine", true, func(s *system) int { return s.up.Process.Pid() }),
	stopped("the engine", false, func(s *system) int { return s.up.Engine() }),
	stopped("Redis", false, func(s *system) int { return s.redis.Pid() }),
	under(refuses, 2*time.Second),
	under(slow, 2*time.Second),
	under(halfOpen, 3*time.Second),
	under(deaf, 2*time.Second),
	{"the collector's connection: loses answers, then leads to the other collector", 2 * time.Second, func(s *system) func() {
		s.proxy.set(deaf)
		return func() { s.proxy.turn(); s.proxy.set(fair) }
	}},
	{"the collector's connection: leads to the other collector", 0, func(s *system) func() { s.proxy.turn(); return func() {} }},
	{"SIGKILL of the second collector", time.Second, func(s *system) func() { s.second.process.Kill(); return s.startSecond }},
	{"SIGTERM and start of the second collector", 0, func(s *system) func() {
		ctx, stop := within(s.t.Context(), 30*time.Second)
		defer stop()
		s.ended("the second collector", s.second.process.Stop(ctx))
		return s.startSecond
	}},
	{"a full disk under the second collector", 2 * time.Second, func(s *system) func() {
		fillDisk(s.t, s.second.dir)
		return func() { freeDisk(s.t, s.second.dir); s.again() }
	}},
	{"SIGKILL of the second collector, which starts on a full disk", 2 * time.Second, func(s *system) func() {
		s.second.process.Kill()
		fillDisk(s.t, s.second.dir)
		s.startSecond()
		return func() { freeDisk(s.t, s.second.dir); s.again() }
	}},
	stopped("the second collector", false, func(s *system) int { return s.second.process.Pid() }),
	{"SIGKILL of asynq's Redis", time.Second, func(s *system) func() { s.asynq.redis.Kill(); return s.startQueue }},
	{"the end and start of the worker on asynq", time.Second, func(s *system) func() {
		if *leases {
			s.asynq.worker.Kill()
			return s.startAsynq
		}
		ctx, stop := within(s.t.Context(), 40*time.Second)
		defer stop()
		s.ended("the worker on asynq", s.asynq.worker.Stop(ctx))
		return s.startAsynq
	}},
	stopped("the worker on asynq", false, func(s *system) int { return s.asynq.worker.Pid() }),
	{"SIGKILL of PostgreSQL", time.Second, func(s *system) func() { s.killPostgres(); return s.startPostgres }},
	{"the end and start of the worker on River", time.Second, func(s *system) func() {
		if *leases {
			s.river.worker.Kill()
			return s.startRiver
		}
		ctx, stop := within(s.t.Context(), 40*time.Second)
		defer stop()
		s.ended("the worker on River", s.river.worker.Stop(ctx))
		return s.startRiver
	}},
	stopped("the worker on River", false, func(s *system) int { return s.river.worker.Pid() }),
	// A runner's own waiting times are times of day: what asynq and River put off for a
	// moment at a wrong time they put off for as much as it is wrong.
	jumps("the worker on asynq", 5*time.Second, func(c clocks) *proctest.Clock { return c.asynq }),
	jumps("the worker on River", 5*time.Second, func(c clocks) *proctest.Clock { return c.river }),
	jumps("the sidecar", 2*time.Hour, func(c clocks) *proctest.Clock { return c.sidecar }),
	// A collector an hour behind its ClickHouse has health show what ended as open for a
	// while: docs/reliability.md.
	jumps("up", 45*time.Minute, func(c clocks) *proctest.Clock { return c.up }),
	jumps("the second collector", 45*time.Minute, func(c clocks) *proctest.Clock { return c.second }),
	{"the collector's connection: cut", 0, func(s *system) func() { s.proxy.cut(); return func() {} }},
}

// storm has things go wrong, one or two at a time, for so long.
func (s *system) storm(r *rand.Rand, d time.Duration) {
	end := time.Now().Add(d)
	s.rand = r
	defer s.clocks.right()
	for n := 0; n == 0 || time.Now().Before(end); n++ {
		first, second := r.IntN(len(faults)), r.IntN(2*len(faults))
		s.goWrong(r, first, func() {
			// Two at a time, where they are of different parts: what was killed is
			// not stopped besides.
			if second < len(faults) && parts[second] != parts[first] {
				s.goWrong(r, second, func() {})
			}
		})
		pause(time.Duration(r.IntN(300)) * time.Millisecond)
	}
	// One that could not start while its disk was full may end after that fault did.
	proctest.Eventually(s.t, time.Minute, "the second collector is there", func() (bool, string) {
		s.again()
		ctx, stop := within(s.t.Context(), time.Second)
		defer stop()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.second.http+"/healthz", nil)
		if err != nil {
			return false, err.Error()
		}
		code, _ := answer(req, s.up.Token)
		return code == http.StatusOK, fmt.Sprint(code)
	})
}

// parts are what each fault is about.
var parts = func() []string {
	names := make([]string, len(faults))
	for i, f := range faults {
		for _, part := range []string{"connection", "asynq", "second collector", "worker", "sidecar", "Redis", "PostgreSQL", "clock"} {
			if contains(f.name, part) {
				names[i] = part
			}
		}
		if names[i] == "" {
			names[i] = "up"
		}
	}
	return names
}()

func (s *system) goWrong(r *rand.Rand, i int, meanwhile func()) {
	f := faults[i]
	d := time.Duration(0)
	if f.longest > 0 {
		d = time.Duration(r.Int64N(int64(f.longest)))
	}
	s.log(fmt.Sprintf("%s for %v", f.name, d.Round(time.Millisecond)))
	end := f.begin(s)
	meanwhile()
	pause(d)
	end()
}

// ended looks at how a process ended that was asked to. One that had only just begun
// ends by the signal itself.
func (s *system) ended(what string, err error) {
	if err != nil && err.Error() != "signal: terminated" {
		s.t.Errorf("%s was asked to end: %v", what, err)
	}
}
