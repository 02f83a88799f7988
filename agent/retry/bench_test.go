package retry

import (
	"context"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/failure"
)

// BenchmarkPolicySuccess is everything the policy does for a task that succeeds
// at once: the breaker's permit and its result, the classification, the budget
// and the provider's pause.
func BenchmarkPolicySuccess(b *testing.B) {
	br, err := breaker.New(breaker.Key{Namespace: "default", Provider: "psp"}, breaker.Config{}, epoch, nil)
	if err != nil {
		b.Fatal(err)
	}
	provider := NewProviders(BudgetConfig{}, 0).Get("default", "psp", epoch)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if !provider.PausedUntil(epoch).IsZero() {
			b.Fatal("paused")
		}
		permit, ok := br.Acquire(epoch)
		if !ok {
			b.Fatal("no permit")
		}
		if f := failure.Classify(ctx, ctx, nil); f.OK() {
			permit.Success(time.Millisecond)
			provider.Success()
		}
	}
}

// BenchmarkPolicySuccessWithLookups adds finding the breaker and the provider by
// their names.
func BenchmarkPolicySuccessWithLookups(b *testing.B) {
	set, err := breaker.NewSet(breaker.SetConfig{})
	if err != nil {
		b.Fatal(err)
	}
	providers := NewProviders(BudgetConfig{}, 0)
	set.Get("default", "psp", epoch)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		provider := providers.Get("default", "psp", epoch)
		if !provider.PausedUntil(epoch).IsZero() {
			b.Fatal("paused")
		}
		permit, ok := set.Get("default", "psp", epoch).Acquire(epoch)
		if !ok {
			b.Fatal("no permit")
		}
		if f := failure.Classify(ctx, ctx, nil); f.OK() {
			permit.Success(time.Millisecond)
			provider.Success()
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	in := Input{Attempts: 3, Failure: retryable(), Now: epoch, Deadline: epoch.Add(time.Hour), Rand: 0.3}
	b.ReportAllocs()
	for b.Loop() {
		if Decide(in).Action != ActionRetry {
			b.Fatal("no retry")
		}
	}
}
