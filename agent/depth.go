package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// DepthFunc tells how much waits in the runner's queues by the runner's own
// counters: true for tasks that no worker has touched.
type DepthFunc func(ctx context.Context) ([]timeline.LiveQueueDepth, error)

// ReportDepths has the agent tell the collector every few seconds what f says,
// beside what those say that were registered before. It is live data, never
// recorded. Safe at any time.
func (a *Agent) ReportDepths(f DepthFunc) {
	a.depths.mu.Lock()
	defer a.depths.mu.Unlock()
	a.depths.ask = append(a.depths.ask, f)
}

const (
	depthEvery   = 5 * time.Second
	depthTimeout = 5 * time.Second
)

// depths asks the runner in a goroutine of its own, so that one that is slow
// delays no heartbeat.
type depths struct {
	mu   sync.Mutex
	ask  []DepthFunc
	news []timeline.LiveQueueDepth
}

// take gives what was not told yet.
func (d *depths) take() []timeline.LiveQueueDepth {
	d.mu.Lock()
	defer d.mu.Unlock()
	news := d.news
	d.news = nil
	return news
}

func (d *depths) run(ctx context.Context, a *Agent) {
	tick := time.NewTicker(depthEvery)
	defer tick.Stop()
	for {
		d.look(ctx, a)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *depths) look(ctx context.Context, a *Agent) {
	d.mu.Lock()
	all := slices.Clone(d.ask)
	d.mu.Unlock()
	ctx, stop := context.WithTimeout(ctx, depthTimeout)
	defer stop()
	var news []timeline.LiveQueueDepth
	for _, ask := range all {
		some, err := ask(ctx)
		if err != nil {
			a.cfg.Logger.Debug("ask the runner how much waits", "error", err)
		}
		news = append(news, some...)
	}
	if len(news) == 0 {
		return
	}
	d.mu.Lock()
	d.news = news[:min(len(news), timeline.MaxLiveQueues)]
	d.mu.Unlock()
	a.live.dirty.Store(true)
}
