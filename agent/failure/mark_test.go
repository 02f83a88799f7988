package failure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestMarks(t *testing.T) {
	plain := errors.New("plain")
	for name, c := range map[string]struct {
		err     error
		class   timeline.ErrorClass
		breaker BreakerEffect
		after   time.Duration
	}{
		"permanent":                    {Permanent(plain), timeline.ClassPermanent, BreakerIgnore, 0},
		"permanent 503":                {Permanent(statusError(503)), timeline.ClassPermanent, BreakerFailure, 0},
		"permanent, wrapped":           {fmt.Errorf("a: %w", Permanent(plain)), timeline.ClassPermanent, BreakerIgnore, 0},
		"permanent, joined":            {errors.Join(plain, Permanent(plain)), timeline.ClassPermanent, BreakerIgnore, 0},
		"retry a 400":                  {RetryAfter(time.Second, statusError(400)), timeline.ClassRetryable, BreakerIgnore, time.Second},
		"retry a panic's wrapper":      {RetryAfter(-time.Second, plain), timeline.ClassRetryable, BreakerFailure, 0},
		"both":                         {Permanent(RetryAfter(time.Second, plain)), timeline.ClassPermanent, BreakerIgnore, 0},
		"both, the other way":          {RetryAfter(time.Second, Permanent(plain)), timeline.ClassPermanent, BreakerIgnore, 0},
		"own word yes":                 {&knowing{retryable: true, cause: statusError(400)}, timeline.ClassRetryable, BreakerIgnore, 0},
		"own word no":                  {&knowing{cause: statusError(503)}, timeline.ClassPermanent, BreakerFailure, 0},
		"own word no, nothing known":   {&knowing{}, timeline.ClassPermanent, BreakerIgnore, 0},
		"explicit over own word":       {RetryAfter(time.Minute, &knowing{}), timeline.ClassRetryable, BreakerFailure, time.Minute},
		"own patience":                 {fmt.Errorf("a: %w", patient(time.Minute)), timeline.ClassRetryable, BreakerFailure, time.Minute},
		"the longest of two":           {errors.Join(patient(time.Minute), patient(time.Hour)), timeline.ClassRetryable, BreakerFailure, time.Hour},
		"gRPC RetryInfo":               {grpcErr(14, true), timeline.ClassRetryable, BreakerFailure, 2500 * time.Millisecond},
		"absurd patience is cut":       {patient(1<<63 - 1), timeline.ClassRetryable, BreakerFailure, MaxRetryAfter},
		"permanent over own word yes":  {Permanent(&knowing{retryable: true}), timeline.ClassPermanent, BreakerIgnore, 0},
		"two own words: permanent one": {errors.Join(&knowing{retryable: true}, &knowing{}), timeline.ClassPermanent, BreakerIgnore, 0},
	} {
		f := Classify(context.Background(), nil, c.err)
		if f.Class != c.class || f.Breaker != c.breaker || f.RetryAfter != c.after || f.HasRetryAfter && f.Class == timeline.ClassPermanent {
			t.Errorf("%s: class %s breaker %d after %v, want %s %d %v", name, f.Class, f.Breaker, f.RetryAfter, c.class, c.breaker, c.after)
		}
	}
	if Permanent(nil) != nil || RetryAfter(time.Second, nil) != nil {
		t.Error("a mark on nothing is something")
	}
	for _, marked := range []error{Permanent(io.EOF), RetryAfter(1, io.EOF)} {
		if !errors.Is(marked, io.EOF) || marked.Error() != "EOF" {
			t.Errorf("%v: the original error was lost", marked)
		}
	}
	if err := NewPanic(io.EOF); !errors.Is(err, io.EOF) || !strings.Contains(string(err.Stack), "TestMarks") {
		t.Error("a panic lost its error or its stack")
	}
}
