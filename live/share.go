package live

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// maxShared bounds the holders that are read.
const maxShared = 100

// Share puts a body where other processes find it under a name, for ttl: what
// one of them needs to act for all. It may be lost with Redis, and is put again.
func (l *Live) Share(ctx context.Context, name, holder string, body []byte, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	// Each entry carries its end: fields of a hash have none of their own everywhere.
	until := strconv.FormatInt(time.Now().Add(ttl).UnixMilli(), 10)
	key := sharedKey(name)
	err := l.seen(l.client.HSet(ctx, key, holder, until+" "+string(body)).Err())
	if err == nil {
		err = l.seen(l.client.PExpire(ctx, key, max(10*ttl, time.Minute)).Err())
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", name, err)
	}
	return nil
}

// Shared gives what every holder put under a name and is not over.
func (l *Live) Shared(ctx context.Context, name string) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	key := sharedKey(name)
	all, err := l.client.HGetAll(ctx, key).Result()
	if err := l.seen(err); err != nil {
		return nil, fmt.Errorf("read what is shared of %s: %w", name, err)
	}
	out := map[string][]byte{}
	var gone []string
	for holder, text := range all {
		end, body, ok := strings.Cut(text, " ")
		at, err := strconv.ParseInt(end, 10, 64)
		if !ok || err != nil || time.Now().UnixMilli() > at {
			gone = append(gone, holder)
			continue
		}
		if len(out) < maxShared {
			out[holder] = []byte(body)
		}
	}
	if len(gone) > 0 {
		// Left behind, they would be read again each time.
		if err := l.seen(l.client.HDel(ctx, key, gone...).Err()); err != nil {
			return nil, fmt.Errorf("forget what is shared of %s: %w", name, err)
		}
	}
	return out, nil
}

func sharedKey(name string) string { return "tasktrail:shared:" + timeline.KeyPart(name) }
