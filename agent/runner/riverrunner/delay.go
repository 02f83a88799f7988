package riverrunner

import (
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// delays carries what the agent decided from the attempt to River's question for
// it, which comes next in the same goroutine.
type delays struct {
	mu sync.Mutex
	of map[int64]time.Duration
}

// maxDelays bounds what is kept of jobs for which River never asks, because their
// worker has delays of its own.
const maxDelays = 10_000

func (d *delays) set(job int64, delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = map[int64]time.Duration{}
	}
	for old := range d.of {
		if len(d.of) < maxDelays {
			break
		}
		delete(d.of, old)
	}
	d.of[job] = delay
}

func (d *delays) take(job int64) (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delay, ok := d.of[job]
	delete(d.of, job)
	return delay, ok
}

// retryPolicy answers with the agent's delay.
type retryPolicy struct {
	delays *delays
	other  river.ClientRetryPolicy
}

// NextRetry is asked by River after an attempt that is to be tried again.
func (p *retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	if d, ok := p.delays.take(job.ID); ok {
		return time.Now().Add(d)
	}
	return p.other.NextRetry(job)
}
