package live

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// servedFor is how long a queue counts as served after somebody who takes its
// commands was last there; announceEvery is how often those say so.
const (
	servedFor     = 15 * time.Second
	announceEvery = 4 * time.Second
)

// servedKey is there while somebody takes the commands of the stream.
func (k queueKeys) servedKey() string { return "{" + k.stream + "}:served" }

// Served reports whether somebody takes the retries of a queue: an agent that is
// connected to any collector, or was within the last seconds; with url, a collector
// that posts them to the queue's URL. ErrUnavailable where Redis does not answer.
func (l *Live) Served(ctx context.Context, namespace, queue string, url bool) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	n, err := l.client.Exists(ctx, place{queue: queue, url: url}.keys(namespace).servedKey()).Result()
	if err := l.seen(err); err != nil {
		return false, fmt.Errorf("who serves a queue: %w", err)
	}
	return n > 0, nil
}

// announce says that the queues are served, and that the source is there.
func (d *delivery) announce(ctx context.Context) error {
	now := time.Now()
	if now.Before(d.announced.Add(announceEvery)) {
		return nil
	}
	asked, cancel := context.WithTimeout(ctx, d.live.cfg.Timeout)
	defer cancel()
	_, err := d.live.client.Pipelined(asked, func(pipe redis.Pipeliner) error {
		for _, q := range d.queues {
			pipe.Set(asked, q.servedKey(), "1", servedFor)
		}
		pipe.ZAdd(asked, sourcesKey, redis.Z{Score: float64(now.UnixMilli()), Member: d.source})
		return nil
	})
	if err := d.live.seen(err); err != nil {
		return fmt.Errorf("announce served queues: %w", err)
	}
	d.announced = now
	return nil
}
