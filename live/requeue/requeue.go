// Package requeue carries retries and cancels to queues that no agent serves: it
// takes their commands as an agent would and posts each, signed, to the URL that an
// operator registered for the queue. Whoever answers there puts the task into its own
// queue again, or has its worker stop it.
//
// It runs no task and decides nothing about one. A post that is not taken is tried
// again, for as long as the request may wait. A retry that is refused for good ends
// the run it asked for, visibly, and its dead letter is pending again; a cancel that
// is refused stands on the timeline as ignored. That a cancel had its effect is for
// the worker to say, by the events that end the run.
package requeue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Commands is where retries come from. *live.Live implements it.
type Commands interface {
	// URLCommands gives the retries and cancels that wait for a queue's URL, again and
	// again until the log shows an answer. The channel is closed when ctx ends.
	URLCommands(ctx context.Context, source, namespace, queue string) <-chan timeline.Command
}

// EventWriter takes the events that answer a command.
type EventWriter interface {
	// WriteEvents returns nil once the events are on disk; writing one twice is
	// writing it once.
	WriteEvents(ctx context.Context, namespace string, events []timeline.Event) error
}

// Target is where the retries of one queue go.
type Target struct {
	Namespace, Queue string
	// Version rises when anything else changes.
	Version uint64
	URL     string
	// Keys sign each call, every one of them.
	Keys       [][]byte
	KeepsInput bool
}

// Registry knows the targets of all namespaces.
type Registry interface {
	RequeueTargets(ctx context.Context) ([]Target, error)
}

// States keeps how the latest calls of a queue's URL went, for whoever looks.
type States interface {
	// SetRequeueState is told of every call; what it cannot keep is no fault.
	SetRequeueState(ctx context.Context, namespace, queue string, s readmodel.RequeueState)
}

// Deps are the parts it stands on; all but States are needed.
type Deps struct {
	Commands Commands
	Writer   EventWriter
	Registry Registry
	States   States
}

// Stats counts what was done since New.
type Stats struct {
	// Targets are the queues served at the moment.
	Targets int
	// Taken are retries and cancels that a URL took, Refused those it refused for good, Failed
	// the calls that are to be tried again.
	Taken, Refused, Failed uint64
}

// Requeue serves the registered queues of one collector.
type Requeue struct {
	cfg  Config
	deps Deps
	call *caller

	targets                atomic.Int64
	taken, refused, failed atomic.Uint64

	mu   sync.Mutex
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// New checks the configuration; nothing runs before Start.
func New(cfg Config, deps Deps) (*Requeue, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Commands == nil || deps.Writer == nil || deps.Registry == nil {
		return nil, errors.New("requeue: Commands, Writer and Registry are needed")
	}
	return &Requeue{cfg: cfg, deps: deps, call: newCaller(cfg)}, nil
}

// Start begins to serve, until Close; ctx bounds the start alone.
func (r *Requeue) Start(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		return errors.New("requeue: started twice")
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.wg.Go(func() { r.run(ctx) })
	return nil
}

// Close stops serving and waits; a call that is going on is cut short and made
// again by whoever serves the queue next.
func (r *Requeue) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		r.stop()
	}
	r.wg.Wait()
	r.call.close()
	return nil
}

// Stats returns the counts so far.
func (r *Requeue) Stats() Stats {
	return Stats{Targets: int(r.targets.Load()), Taken: r.taken.Load(), Refused: r.refused.Load(), Failed: r.failed.Load()}
}

type queueName struct{ namespace, queue string }

// serving is a target that is served.
type serving struct {
	version uint64
	stop    context.CancelFunc
	done    chan struct{}
}

// run keeps what is served as it is registered.
func (r *Requeue) run(ctx context.Context) {
	served := map[queueName]serving{}
	defer func() {
		for _, s := range served {
			s.stop()
			<-s.done
		}
	}()
	tick := time.NewTicker(r.cfg.RefreshEvery)
	defer tick.Stop()
	for {
		targets, err := r.deps.Registry.RequeueTargets(ctx)
		if err == nil {
			r.adopt(ctx, served, targets)
		} else if ctx.Err() == nil {
			// What was registered goes on being served.
			r.cfg.Logger.Warn("read the re-enqueue URLs", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// adopt starts what is new or changed and stops what is not registered any more.
func (r *Requeue) adopt(ctx context.Context, served map[queueName]serving, targets []Target) {
	if len(targets) > r.cfg.MaxTargets {
		r.cfg.Logger.Error("too many re-enqueue URLs: the last ones are not served", "registered", len(targets), "limit", r.cfg.MaxTargets)
		targets = targets[:r.cfg.MaxTargets]
	}
	wanted := map[queueName]Target{}
	for _, t := range targets {
		wanted[queueName{t.Namespace, t.Queue}] = t
	}
	for name, s := range served {
		if t, still := wanted[name]; !still || t.Version != s.version {
			s.stop()
			<-s.done
			delete(served, name)
		}
	}
	for name, t := range wanted {
		if _, already := served[name]; already {
			continue
		}
		own, stop := context.WithCancel(ctx)
		s := serving{t.Version, stop, make(chan struct{})}
		served[name] = s
		r.wg.Go(func() {
			defer close(s.done)
			r.serve(own, &t)
		})
	}
	r.targets.Store(int64(len(served)))
}

// serve posts the retries and cancels of one queue until ctx ends.
func (r *Requeue) serve(ctx context.Context, t *Target) {
	w := &worker{r: r, target: t, answered: map[timeline.ID]timeline.Event{}, busy: map[timeline.ID]bool{}}
	commands := r.deps.Commands.URLCommands(ctx, r.cfg.Source, t.Namespace, t.Queue)
	var wg sync.WaitGroup
	for range r.cfg.Parallel {
		wg.Go(func() {
			for c := range commands {
				w.carryOut(ctx, &c)
			}
		})
	}
	wg.Wait()
}
