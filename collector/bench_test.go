package collector

import (
	"fmt"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// BenchmarkAccept is the way of a request from check to acknowledgement, fsync
// included: 512 records of about 300 bytes, from as many senders as there are in
// parallel.
func BenchmarkAccept(b *testing.B) {
	cfg := testConfig(b.TempDir())
	cfg.GRPCAddr, cfg.HTTPAddr = noAddr, noAddr
	cfg.LogMaxBytes, cfg.LogSegmentBytes = 2<<30, 64<<20
	c := start(b, cfg, Deps{})
	events := make([]timeline.Event, 512)
	for i := range events {
		events[i] = event(fmt.Sprint("task-", i), 1, 1, uint64(i+1), timeline.AttemptStarted)
		events[i].Queue, events[i].Runner, events[i].Agent, events[i].Provider, events[i].UserID = "default", "asynq", "worker-1", "bank", "user-42"
	}
	body := request(events...)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := c.Accept(b.Context(), wire.Envelope{Namespace: "a"}, body); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)*512/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(len(body))/512, "bytes/record")
}
