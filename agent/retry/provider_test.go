package retry

import (
	"strconv"
	"testing"
	"time"
)

func TestPauseIsNeverUndercut(t *testing.T) {
	p := NewProviders(BudgetConfig{}, 0).Get("n", "psp", epoch)
	p.Pause(epoch, epoch.Add(time.Minute))
	p.Pause(epoch, epoch.Add(time.Second))
	if got := p.PausedUntil(epoch); !got.Equal(epoch.Add(time.Minute)) {
		t.Fatalf("paused until %v", got)
	}
	if got := p.PausedUntil(epoch.Add(time.Minute)); !got.IsZero() {
		t.Fatalf("paused until %v when it is over", got)
	}
	p.Pause(epoch, epoch.Add(24*time.Hour))
	if got := p.PausedUntil(epoch); !got.Equal(epoch.Add(MaxPause)) {
		t.Fatalf("paused until %v, past the bound", got)
	}
}

func TestProvidersAreBoundedAndKeepWhatMatters(t *testing.T) {
	m := NewProviders(BudgetConfig{}, 8)
	m.Get("n", "paused", epoch).Pause(epoch, epoch.Add(time.Minute))
	m.Get("n", "spent", epoch).Budget().Reserve(epoch, false, time.Hour)
	for i := range 1000 {
		if m.Get("n", strconv.Itoa(i), epoch) == nil {
			t.Fatal("idle providers made no room")
		}
	}
	if n := len(m.byKey.Values()); n > 8 {
		t.Fatalf("%d providers, the limit is 8", n)
	}
	if m.Get("n", "paused", epoch).PausedUntil(epoch).IsZero() {
		t.Fatal("a pause was forgotten")
	}
	if n := m.Get("n", "spent", epoch).budget.Tokens(epoch); n != 495 {
		t.Fatalf("%d tokens: what was spent was forgotten", n)
	}
	full := NewProviders(BudgetConfig{}, 1)
	full.Get("n", "paused", epoch).Pause(epoch, epoch.Add(time.Minute))
	newcomer := full.Get("n", "newcomer", epoch)
	if newcomer != nil || full.Unguarded() != 1 {
		t.Fatalf("%v, unguarded %d", newcomer, full.Unguarded())
	}
	newcomer.Success()
	newcomer.Pause(epoch, epoch.Add(1))
	if newcomer.Budget() != nil || !newcomer.PausedUntil(epoch).IsZero() {
		t.Fatal("a nil provider has a budget or a pause")
	}
	if (NewProviders(BudgetConfig{Disabled: true}, 0)).Get("n", "p", epoch).Budget() != nil {
		t.Fatal("a disabled budget is not nil as an interface")
	}
}
