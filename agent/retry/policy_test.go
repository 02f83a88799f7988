package retry

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// bounds is the law of the delay, written the slow way: by repeated
// multiplication that stops at the cap.
func bounds(p Policy, n int) (low, high time.Duration) {
	d := float64(p.Base)
	for i := 1; i < n && d < float64(p.Cap); i++ {
		d *= p.Factor
	}
	d = min(d, float64(p.Cap))
	j := max(p.Jitter, 0)
	high = p.Cap
	if f := math.Ceil((1 + j) * d); f < float64(p.Cap) {
		high = time.Duration(f)
	}
	low = p.Cap
	if f := (1 - j) * d; f < float64(p.Cap) {
		low = time.Duration(f)
	}
	return low, high
}

func TestDelayStaysWithinItsLawForEveryRetry(t *testing.T) {
	for _, p := range []Policy{{}, {Base: time.Nanosecond, Factor: 1.0001}, {Base: time.Hour, Cap: 1 << 62, Factor: 10}, {Cap: 1<<63 - 1, Jitter: -1}, {Base: time.Minute, Cap: time.Second}} {
		p = p.WithDefaults()
		for n := 1; n <= 10_000; n++ {
			low, high := bounds(p, n)
			for _, r := range []float64{0, rand.Float64(), 1 - 1e-17, math.Nextafter(1, 0), 1, -1, math.NaN(), math.Inf(1)} {
				d, drawn := p.Delay(n, r)
				// Powers by multiplication and by math.Pow differ in the last digits.
				slack := time.Duration(float64(high) * 1e-9)
				if d < low-slack-1 || d > high && d-high > slack || d > p.Cap || d <= 0 {
					t.Fatalf("%+v: retry %d with draw %v waits %v, want [%v, %v]", p, n, r, d, low, high)
				}
				if math.IsNaN(drawn) || drawn < 0 || drawn > 1+max(p.Jitter, 0)+1e-9 && d > 2 {
					t.Fatalf("%+v: retry %d with draw %v says jitter %v", p, n, r, drawn)
				}
			}
		}
		for _, n := range []int{0, -1, math.MinInt, math.MaxInt32, math.MaxInt} {
			if d, _ := p.Delay(n, 0.5); d <= 0 || d > p.Cap {
				t.Fatalf("%+v: retry %d waits %v", p, n, d)
			}
		}
	}
}

func TestDelayOverAMillionDraws(t *testing.T) {
	p := Policy{}.WithDefaults()
	const draws = 1_000_000
	random := rand.New(rand.NewPCG(1, 2))
	type span struct{ low, high time.Duration }
	spans := make([]span, 10_001)
	for n := range spans {
		spans[n].low, spans[n].high = bounds(p, max(n, 1))
	}
	for i := range draws {
		n := 1 + i/2%12 // where the law still changes, and far beyond
		if i%2 == 0 {
			n = 1 + random.IntN(10_000)
		}
		low, high := spans[n].low, spans[n].high
		d, _ := p.Delay(n, random.Float64())
		if d < low || d > high || d > 30*time.Second {
			t.Fatalf("retry %d waits %v, want [%v, %v]", n, d, low, high)
		}
	}
}

func TestDelayIsDrawnUniformly(t *testing.T) {
	p := Policy{}.WithDefaults()
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 3, 6, 1000} {
		low, high := bounds(p, n)
		const draws, buckets = 100_000, 10
		var hist [buckets]int
		for range draws {
			d, _ := p.Delay(n, random.Float64())
			hist[min(int(float64(d-low)/float64(high-low)*buckets), buckets-1)]++
		}
		for i, got := range hist {
			if got < draws/buckets*9/10 || got > draws/buckets*11/10 {
				t.Errorf("retry %d: %d of %d draws in tenth %d of [%v, %v]", n, got, draws, i, low, high)
			}
		}
	}
}

func TestDelaySequence(t *testing.T) {
	p := Policy{Jitter: -1}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		d, drawn := p.Delay(i+1, 0.7)
		if d != want*time.Second || drawn != 1 {
			t.Errorf("retry %d waits %v (jitter %v), want %v", i+1, d, drawn, want*time.Second)
		}
	}
	if d, drawn := (Policy{}).Delay(1, 0); d != 750*time.Millisecond || drawn != 0.75 {
		t.Errorf("the shortest first delay is %v (jitter %v)", d, drawn)
	}
	if d, _ := (Policy{}).Delay(6, math.Nextafter(1, 0)); d > 30*time.Second || d < 29*time.Second {
		t.Errorf("the longest delay is %v", d)
	}
}

func TestPolicyReportsEveryFault(t *testing.T) {
	err := Policy{MaxAttempts: -1, Base: -1, Cap: -1, Factor: math.NaN(), Jitter: 2, MaxRetryAfter: -1}.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 6 {
		t.Fatalf("want 6 faults, got %v", err)
	}
	if err := (Policy{}).Validate(); err != nil {
		t.Fatalf("the zero policy: %v", err)
	}
	if got := (Policy{}).Timeline(); got.MaxAttempts != 5 || got.Base.Duration() != time.Second || got.Cap.Duration() != 30*time.Second || got.Factor != 2 || got.Jitter != 0.25 {
		t.Fatalf("on the timeline: %+v", got)
	}
}
