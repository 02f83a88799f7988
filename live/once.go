package live

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// OnceState is what is known of a key that stands for doing something once.
type OnceState int

// The states of a key.
const (
	// OnceNew: nobody did it; whoever asked has the key, and does.
	OnceNew OnceState = iota
	// OnceOther: the key stands for something else.
	OnceOther
	// OnceDone: it was done, and what came of it is remembered.
	OnceDone
	// OnceBusy: somebody is about it.
	OnceBusy
)

// onceBusy bounds how long a key is held by one who died while doing it.
const onceBusy = 2 * time.Minute

// BeginOnce takes the key for what the fingerprint stands for, or says what is
// known of it; with OnceDone comes what [Live.FinishOnce] was given.
func (l *Live) BeginOnce(ctx context.Context, key, fingerprint string) (OnceState, []byte, error) {
	const source = `
local f = redis.call('HGET', KEYS[1], 'f')
if f == false then
  redis.call('HSET', KEYS[1], 'f', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {0, ''}
end
if f ~= ARGV[1] then return {1, ''} end
local a = redis.call('HGET', KEYS[1], 'a')
if a == false then return {3, ''} end
return {2, a}`
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	out, err := l.client.Eval(ctx, source, []string{onceKey(key)}, fingerprint, onceBusy.Milliseconds()).Slice()
	if err := l.seen(err); err != nil {
		return OnceNew, nil, fmt.Errorf("begin once: %w", err)
	}
	if len(out) != 2 {
		return OnceNew, nil, fmt.Errorf("begin once: %d values", len(out))
	}
	state, _ := out[0].(int64)
	answer, _ := out[1].(string)
	return OnceState(state), []byte(answer), nil
}

// FinishOnce remembers for ttl what came of it.
func (l *Live) FinishOnce(ctx context.Context, key string, answer []byte, ttl time.Duration) error {
	const source = `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'a', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	if err := l.seen(l.client.Eval(ctx, source, []string{onceKey(key)}, answer, ttl.Milliseconds()).Err()); err != nil {
		return fmt.Errorf("finish once: %w", err)
	}
	return nil
}

// AbandonOnce forgets the key: nothing was done.
func (l *Live) AbandonOnce(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	if err := l.seen(l.client.Del(ctx, onceKey(key)).Err()); err != nil {
		return fmt.Errorf("abandon once: %w", err)
	}
	return nil
}

// onceKey hides the key, whose length and bytes are the client's choice.
func onceKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "tasktrail:once:" + hex.EncodeToString(sum[:])
}
