package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/query"
)

// answersKept is how long the answer to a mutating call is remembered.
const answersKept = 24 * time.Hour

// idempotency remembers the answers of mutating calls in Redis, so that every
// replica of query knows them.
type idempotency struct{ live *live.Live }

// Begin implements query.IdempotencyStore.
func (i idempotency) Begin(ctx context.Context, key, fingerprint string) (*query.Answer, error) {
	state, raw, err := i.live.BeginOnce(ctx, key, fingerprint)
	switch {
	case err != nil:
		return nil, err
	case state == live.OnceNew:
		return nil, nil
	case state == live.OnceOther:
		return nil, query.ErrKeyReused
	case state == live.OnceBusy:
		return nil, query.ErrKeyInUse
	}
	var a query.Answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("remembered answer: %w", err)
	}
	return &a, nil
}

// Finish implements query.IdempotencyStore.
func (i idempotency) Finish(ctx context.Context, key string, a query.Answer) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return i.live.FinishOnce(ctx, key, b, answersKept)
}

// Abandon implements query.IdempotencyStore.
func (i idempotency) Abandon(ctx context.Context, key string) error {
	return i.live.AbandonOnce(ctx, key)
}
