package live

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/timeline"
)

// ClaimRun claims the start of a task's run for holder. Of all who ask within
// Config.ClaimTTL the first gets true, and the same holder asking again too.
// ErrUnavailable where Redis does not answer: then nobody knows.
func (l *Live) ClaimRun(ctx context.Context, namespace, taskID string, run int, holder string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	key := claimKey(namespace, taskID, run)
	err := l.seen(l.client.SetArgs(ctx, key, holder, redis.SetArgs{Mode: "NX", TTL: l.cfg.ClaimTTL}).Err())
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("claim run: %w", err)
	}
	owner, err := l.client.Get(ctx, key).Result()
	if err := l.seen(err); err != nil {
		return false, fmt.Errorf("claim run: %w", err)
	}
	return owner == holder, nil
}

// ReleaseRun gives a claim up, where holder has it: for a request that was
// refused after it claimed the run.
func (l *Live) ReleaseRun(ctx context.Context, namespace, taskID string, run int, holder string) error {
	const source = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	if err := l.seen(l.client.Eval(ctx, source, []string{claimKey(namespace, taskID, run)}, holder).Err()); err != nil {
		return fmt.Errorf("release run: %w", err)
	}
	return nil
}

func claimKey(namespace, taskID string, run int) string {
	return strings.Join([]string{"tasktrail:run", timeline.KeyPart(orDefault(namespace)), timeline.KeyPart(taskID), strconv.Itoa(run)}, ":")
}
