package retry

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/timeline"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func retryable() failure.Failure {
	return failure.Failure{Class: timeline.ClassRetryable, Kind: "http_503", Breaker: failure.BreakerFailure}
}

func after(d time.Duration) failure.Failure {
	f := retryable()
	f.RetryAfter, f.HasRetryAfter = d, true
	return f
}

func tooMany(d time.Duration) failure.Failure {
	f := after(d)
	f.Kind, f.Pause, f.Breaker = "http_429", true, failure.BreakerIgnore
	return f
}

func TestDecideEndsARun(t *testing.T) {
	permanent := failure.Failure{Class: timeline.ClassPermanent}
	deadline := failure.Failure{Class: timeline.ClassPermanent, Reason: timeline.FailDeadline}
	open := failure.Failure{Class: timeline.ClassDeferred, Kind: failure.KindCircuitOpen}
	soon := epoch.Add(500 * time.Millisecond)
	for name, c := range map[string]struct {
		in   Input
		want timeline.FailureReason
	}{
		"permanent":                      {Input{Attempts: 1, Failure: permanent}, timeline.FailPermanent},
		"permanent on the last":          {Input{Attempts: 5, Failure: permanent}, timeline.FailPermanent},
		"own deadline":                   {Input{Attempts: 1, Failure: deadline}, timeline.FailDeadline},
		"exhausted":                      {Input{Attempts: 5, Failure: retryable()}, timeline.FailExhausted},
		"exhausted, breaker open":        {Input{Attempts: 5, Failure: retryable(), BreakerBlocked: true}, timeline.FailExhausted},
		"exhausted with a policy":        {Input{Policy: Policy{MaxAttempts: 1}, Attempts: 1, Failure: retryable()}, timeline.FailExhausted},
		"breaker open":                   {Input{Attempts: 1, Failure: retryable(), BreakerBlocked: true}, timeline.FailCircuitOpen},
		"breaker open on arrival":        {Input{Failure: open}, timeline.FailCircuitOpen},
		"Retry-After past 15 min":        {Input{Attempts: 1, Failure: after(15*time.Minute + 1)}, timeline.FailRetryAfterTooLong},
		"429 past 15 min":                {Input{Attempts: 1, Failure: tooMany(time.Hour)}, timeline.FailRetryAfterTooLong},
		"Retry-After past the deadline":  {Input{Attempts: 1, Failure: after(time.Second), Deadline: soon}, timeline.FailRetryAfterTooLong},
		"Retry-After at the deadline":    {Input{Attempts: 1, Failure: after(500 * time.Millisecond), Deadline: soon}, timeline.FailRetryAfterTooLong},
		"backoff past the deadline":      {Input{Attempts: 1, Failure: retryable(), Deadline: soon}, timeline.FailDeadline},
		"deadline already over":          {Input{Attempts: 1, Failure: retryable(), Deadline: epoch.Add(-1)}, timeline.FailDeadline},
		"pause past the deadline":        {Input{Attempts: 1, Failure: retryable(), PausedUntil: epoch.Add(time.Minute), Deadline: epoch.Add(30 * time.Second)}, timeline.FailDeadline},
		"no token within the deadline":   {Input{Attempts: 1, Failure: retryable(), Budget: spent(time.Minute), Deadline: epoch.Add(30 * time.Second)}, timeline.FailRetryBudget},
		"settable longest Retry-After":   {Input{Policy: Policy{MaxRetryAfter: time.Second}, Attempts: 1, Failure: after(2 * time.Second)}, timeline.FailRetryAfterTooLong},
		"deferred past the deadline too": {Input{Attempts: 9, Failure: failure.Failure{Class: timeline.ClassDeferred}, Deadline: soon}, timeline.FailDeadline},
	} {
		c.in.Now, c.in.Rand = epoch, 0.5
		if d := Decide(c.in); d.Action != ActionFail || d.Reason != c.want || d.Delay != 0 {
			t.Errorf("%s: %+v, want %s", name, d, c.want)
		}
	}
	if d := Decide(Input{Now: epoch, Attempts: 9, BreakerBlocked: true, Failure: failure.Failure{Class: timeline.ClassAborted}}); d.Action != ActionAbort || d.Reason != "" {
		t.Errorf("aborted: %+v", d)
	}
}

// spent is a budget that always asks for so much patience.
type spent time.Duration

func (s spent) Reserve(_ time.Time, _ bool, limit time.Duration) (time.Duration, bool) {
	return time.Duration(s), time.Duration(s) <= limit
}

func TestDecideWaits(t *testing.T) {
	pause := epoch.Add(time.Minute)
	for name, c := range map[string]struct {
		in     Input
		low    time.Duration
		high   time.Duration
		reason timeline.RetryReason
	}{
		"backoff 1":            {Input{Attempts: 1, Failure: retryable()}, 750 * time.Millisecond, 1250 * time.Millisecond, timeline.RetryBackoff},
		"backoff 4":            {Input{Attempts: 4, Failure: retryable()}, 6 * time.Second, 10 * time.Second, timeline.RetryBackoff},
		"Retry-After":          {Input{Attempts: 1, Failure: after(10 * time.Second)}, 10 * time.Second, 12500 * time.Millisecond, timeline.RetryAfter},
		"Retry-After of 0":     {Input{Attempts: 1, Failure: after(0)}, 750 * time.Millisecond, 1250 * time.Millisecond, timeline.RetryBackoff},
		"Retry-After of 15min": {Input{Attempts: 1, Failure: after(15 * time.Minute)}, 15 * time.Minute, 15*time.Minute + 30*time.Second, timeline.RetryAfter},
		"429":                  {Input{Attempts: 1, Failure: tooMany(4 * time.Second)}, 4 * time.Second, 5 * time.Second, timeline.RetryProviderPaused},
		"provider paused":      {Input{Attempts: 1, Failure: retryable(), PausedUntil: pause}, time.Minute, 75 * time.Second, timeline.RetryProviderPaused},
		"pause shorter":        {Input{Attempts: 3, Failure: retryable(), PausedUntil: epoch.Add(1)}, 3 * time.Second, 5 * time.Second, timeline.RetryBackoff},
		"pause over":           {Input{Attempts: 1, Failure: retryable(), PausedUntil: epoch.Add(-time.Hour)}, 750 * time.Millisecond, 1250 * time.Millisecond, timeline.RetryBackoff},
		"no token":             {Input{Attempts: 1, Failure: retryable(), Budget: spent(time.Minute)}, 60750 * time.Millisecond, 61250 * time.Millisecond, timeline.RetryBudget},
		"a token":              {Input{Attempts: 1, Failure: retryable(), Budget: spent(0)}, 750 * time.Millisecond, 1250 * time.Millisecond, timeline.RetryBackoff},
		"jitter fits deadline": {Input{Attempts: 1, Failure: after(10 * time.Second), Deadline: epoch.Add(10*time.Second + 5)}, 10 * time.Second, 10*time.Second + 4, timeline.RetryAfter},
	} {
		for range 1000 {
			in := c.in
			in.Now, in.Rand = epoch, rand.Float64()
			d := Decide(in)
			if d.Action != ActionRetry || d.Delay < c.low || d.Delay > c.high || d.Retry.Reason != c.reason {
				t.Fatalf("%s: %+v, want %s within [%v, %v]", name, d, c.reason, c.low, c.high)
			}
			if d.Retry.Delay.Duration() != d.Delay || d.Retry.NextAttempt != in.Attempts+1 {
				t.Fatalf("%s: the event says %+v", name, d.Retry)
			}
			shown := d.Retry.Base != 0
			if want := c.reason == timeline.RetryBackoff || c.reason == timeline.RetryBudget; shown != want {
				t.Fatalf("%s: the arithmetic is shown: %v", name, shown)
			}
		}
	}
}

func TestDecideShowsTheArithmetic(t *testing.T) {
	d := Decide(Input{Now: epoch, Attempts: 2, NextAttempt: 7, Failure: retryable(), Rand: 0.5})
	want := timeline.Retry{NextAttempt: 7, Delay: timeline.Millis(2 * time.Second), Reason: timeline.RetryBackoff,
		Base: timeline.Millis(time.Second), Factor: 2, Cap: timeline.Millis(30 * time.Second), Jitter: 1}
	if d.Retry != want {
		t.Fatalf("%+v, want %+v", d.Retry, want)
	}
}

// TestRetryAfterIsNeverUndercut is the invariant over everything that could
// shorten a wait.
func TestRetryAfterIsNeverUndercut(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200_000 {
		asked := time.Duration(random.Int64N(int64(16 * time.Minute)))
		in := Input{
			Policy:   Policy{Base: time.Duration(1 + random.Int64N(int64(time.Minute))), Cap: time.Duration(1 + random.Int64N(int64(time.Minute))), Jitter: random.Float64()},
			Attempts: 1 + random.IntN(6), Failure: after(asked), Now: epoch, Rand: random.Float64(), BreakerBlocked: random.IntN(20) == 0,
		}
		in.Failure.Pause = random.IntN(2) == 0
		if random.IntN(2) == 0 {
			in.Deadline = epoch.Add(time.Duration(random.Int64N(int64(30 * time.Minute))))
		}
		if random.IntN(2) == 0 {
			in.PausedUntil = epoch.Add(time.Duration(random.Int64N(int64(20 * time.Minute))))
		}
		d := Decide(in)
		if d.Action != ActionRetry {
			continue
		}
		if d.Delay < asked || d.Delay < in.PausedUntil.Sub(epoch) && !in.PausedUntil.IsZero() {
			t.Fatalf("%+v waits %v", in, d.Delay)
		}
		if !in.Deadline.IsZero() && d.Delay >= in.Deadline.Sub(epoch) {
			t.Fatalf("%+v waits %v, past the deadline", in, d.Delay)
		}
	}
}

func TestDecidePausesTheProvider(t *testing.T) {
	d := Decide(Input{Now: epoch, Attempts: 5, Failure: tooMany(time.Minute)})
	if d.Action != ActionFail || !d.PauseUntil.Equal(epoch.Add(time.Minute)) {
		t.Fatalf("the last 429 of a run pauses nobody: %+v", d)
	}
	if d := Decide(Input{Now: epoch, Attempts: 1, Failure: tooMany(24 * time.Hour)}); !d.PauseUntil.Equal(epoch.Add(MaxPause)) {
		t.Fatalf("a pause without bounds: %+v", d)
	}
	if d := Decide(Input{Now: epoch, Attempts: 1, Failure: after(time.Minute)}); !d.PauseUntil.IsZero() {
		t.Fatalf("a 503 pauses the provider: %+v", d)
	}
}
