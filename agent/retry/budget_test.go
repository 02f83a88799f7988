package retry

import (
	"math"
	"sync"
	"testing"
	"time"
)

func reserve(t *testing.T, b *Budget, now time.Time, timeout bool) time.Duration {
	t.Helper()
	wait, ok := b.Reserve(now, timeout, math.MaxInt64)
	if !ok {
		t.Fatal("refused without a limit")
	}
	return wait
}

func TestBudgetPaysAHundredRetries(t *testing.T) {
	b := NewBudget(BudgetConfig{}, epoch)
	for i := range 100 {
		if wait := reserve(t, b, epoch, false); wait != 0 {
			t.Fatalf("retry %d of 100 waits %v", i+1, wait)
		}
	}
	// Each further one waits until time has paid for it and for those before it.
	for i := range 5 {
		if wait, want := reserve(t, b, epoch, false), time.Duration(i+1)*time.Second; wait != want {
			t.Fatalf("retry %d in debt waits %v, want %v", i+1, wait, want)
		}
	}
	if wait := reserve(t, b, epoch, true); wait != 7*time.Second {
		t.Fatalf("a retry after a timeout costs twice: %v", wait)
	}
}

func TestBudgetRefills(t *testing.T) {
	b := NewBudget(BudgetConfig{}, epoch)
	for range 100 {
		reserve(t, b, epoch, false)
	}
	for range 7 {
		b.Success()
	}
	if n := b.Tokens(epoch); n != 7 {
		t.Fatalf("%d tokens after 7 successes", n)
	}
	if n := b.Tokens(epoch.Add(2 * time.Second)); n != 17 {
		t.Fatalf("%d tokens two seconds later, want 17", n)
	}
	if n := b.Tokens(epoch.Add(time.Hour)); n != 500 {
		t.Fatalf("%d tokens after an hour, want the capacity", n)
	}
	b.Success()
	if n := b.Tokens(epoch); n != 500 {
		t.Fatalf("%d tokens, more than the capacity", n)
	}
}

func TestBudgetTakesNothingPastTheLimit(t *testing.T) {
	b := NewBudget(BudgetConfig{Capacity: 5}, epoch)
	reserve(t, b, epoch, false)
	if _, ok := b.Reserve(epoch, false, time.Second-1); ok {
		t.Fatal("a wait longer than the limit")
	}
	if n := b.Tokens(epoch); n != 0 {
		t.Fatalf("%d tokens: a refused retry was paid for", n)
	}
	if wait, ok := b.Reserve(epoch, false, time.Second); !ok || wait != time.Second {
		t.Fatalf("waits %v, %v", wait, ok)
	}
}

func TestBudgetDebtIsBounded(t *testing.T) {
	b := NewBudget(BudgetConfig{}, epoch)
	for range 100_000 {
		if wait := reserve(t, b, epoch, true); wait > 5*time.Minute {
			t.Fatalf("waits %v", wait)
		}
	}
	// When the provider is back, an hour of debt must not stand in the way.
	if n := b.Tokens(epoch.Add(5 * time.Minute)); n < 0 {
		t.Fatalf("%d tokens after the longest wait", n)
	}
}

func TestBudgetConcurrentUse(t *testing.T) {
	b := NewBudget(BudgetConfig{Capacity: 100_000, RetryCost: 1}, epoch)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				reserve(t, b, epoch, false)
				reserve(t, b, epoch, false)
				b.Success()
			}
		})
	}
	wg.Wait()
	// A success that found the bucket full just before somebody took from it may
	// give nothing back; no token is ever made.
	if n := b.Tokens(epoch); n > 100_000-8000 || n < 100_000-16000 {
		t.Fatalf("%d tokens", n)
	}
}

func TestBudgetDisabledAndNil(t *testing.T) {
	b := NewBudget(BudgetConfig{Disabled: true}, epoch)
	if b != nil {
		t.Fatal("a disabled budget")
	}
	b.Success()
	if wait, ok := b.Reserve(epoch, true, 0); wait != 0 || !ok || b.Tokens(epoch) != math.MaxInt {
		t.Fatal("a nil budget holds retries up")
	}
}

func TestBudgetConfigReportsEveryFault(t *testing.T) {
	err := BudgetConfig{Capacity: -1, RetryCost: -1, TimeoutCost: -1, SuccessRefund: -1, RefillPerSecond: math.Inf(1), MaxWait: -1}.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 6 {
		t.Fatalf("want 6 faults, got %v", err)
	}
}
