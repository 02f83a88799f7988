package live

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/timeline"
)

// maxShared bounds the holders that are read.
const maxShared = 1000

// shares remembers what was told and read, so that a body crosses the network
// where it changed alone.
type shares struct {
	mu   sync.Mutex
	told map[shareKey]string // the version
	read map[shareKey]sharedBody
}

type shareKey struct{ name, holder string }

type sharedBody struct {
	version string
	body    []byte
}

// Share puts a body where other processes find it under a name, for ttl: what
// one of them needs to act for all. It may be lost with Redis, and is put again.
// Of a body that is the same as before the time alone is told.
func (l *Live) Share(ctx context.Context, name, holder string, body []byte, ttl time.Duration) error {
	const same = `
if redis.call('PEXPIRE', KEYS[2], ARGV[3]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	sum := sha256.Sum256(body)
	version := hex.EncodeToString(sum[:16])
	// Each entry carries its end: fields of a hash have none of their own everywhere.
	entry := strconv.FormatInt(time.Now().Add(ttl).UnixMilli(), 10) + " " + version
	index, at := sharedKey(name), sharedBodyKey(name, holder)
	k := shareKey{name, holder}
	l.shares.mu.Lock()
	known := l.shares.told[k] == version
	l.shares.mu.Unlock()
	lasts := max(10*ttl, time.Minute)
	if known {
		kept, err := l.client.Eval(ctx, same, []string{index, at}, holder, entry, ttl.Milliseconds(), lasts.Milliseconds()).Int()
		if err := l.seen(err); err != nil {
			return fmt.Errorf("share %s: %w", name, err)
		}
		if kept == 1 {
			return nil
		}
	}
	_, err := l.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, at, body, ttl)
		p.HSet(ctx, index, holder, entry)
		p.PExpire(ctx, index, lasts)
		return nil
	})
	if err := l.seen(err); err != nil {
		return fmt.Errorf("share %s: %w", name, err)
	}
	l.shares.mu.Lock()
	defer l.shares.mu.Unlock()
	if l.shares.told == nil || len(l.shares.told) >= maxShared {
		l.shares.told = map[shareKey]string{}
	}
	l.shares.told[k] = version
	return nil
}

// Shared gives what every holder put under a name and is not over.
func (l *Live) Shared(ctx context.Context, name string) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	versions, err := l.sharers(ctx, name)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for holder, version := range versions {
		k := shareKey{name, holder}
		l.shares.mu.Lock()
		b, ok := l.shares.read[k]
		l.shares.mu.Unlock()
		if !ok || b.version != version {
			body, err := l.client.Get(ctx, sharedBodyKey(name, holder)).Bytes()
			if errors.Is(l.seen(err), redis.Nil) {
				continue // it is just over
			} else if err := l.seen(err); err != nil {
				return nil, fmt.Errorf("read what is shared of %s: %w", name, err)
			}
			b = sharedBody{version, body}
		}
		out[holder] = b.body
		l.shares.mu.Lock()
		if l.shares.read == nil || len(l.shares.read) >= maxShared {
			l.shares.read = map[shareKey]sharedBody{}
		}
		l.shares.read[k] = b
		l.shares.mu.Unlock()
	}
	return out, nil
}

// Sharers lists who has something under a name that is not over.
func (l *Live) Sharers(ctx context.Context, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	versions, err := l.sharers(ctx, name)
	out := make([]string, 0, len(versions))
	for holder := range versions {
		out = append(out, holder)
	}
	return out, err
}

// sharers gives the version of each holder's body.
func (l *Live) sharers(ctx context.Context, name string) (map[string]string, error) {
	key := sharedKey(name)
	all, err := l.client.HGetAll(ctx, key).Result()
	if err := l.seen(err); err != nil {
		return nil, fmt.Errorf("read what is shared of %s: %w", name, err)
	}
	out := map[string]string{}
	var gone []string
	for holder, entry := range all {
		end, version, ok := strings.Cut(entry, " ")
		at, err := strconv.ParseInt(end, 10, 64)
		if !ok || err != nil || time.Now().UnixMilli() > at {
			gone = append(gone, holder)
			continue
		}
		if len(out) < maxShared {
			out[holder] = version
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

func sharedKey(name string) string { return "tasktrail:shared:{" + timeline.KeyPart(name) + "}" }

// sharedBodyKey lies beside the index, in a cluster too.
func sharedBodyKey(name, holder string) string {
	return sharedKey(name) + ":" + timeline.KeyPart(holder)
}
