package failure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Settings are what a service may change about classification. The zero value is
// the table of the package.
type Settings struct {
	// RetryableStatus are HTTP statuses, 400 to 599, that are worth another attempt
	// beyond 408, 425, 429 and every 5xx. It wins over PermanentStatus.
	// Defaults to none.
	RetryableStatus []int
	// PermanentStatus are HTTP statuses, 400 to 599, that no attempt can help, such
	// as 501.
	// Defaults to none beyond the 4xx that are not named above.
	PermanentStatus []int
	// Classifiers are asked in order before everything else; the first that
	// answers true decides. What it leaves empty gets a sensible value: Class
	// retryable, Kind _OTHER. Only the caller's cancellation stands above a
	// retryable answer. A classifier that panics is passed over. They are called
	// concurrently.
	// Defaults to none.
	Classifiers []func(error) (Failure, bool)
}

// Validate reports every fault at once.
func (s Settings) Validate() error {
	var faults []error
	for _, status := range slices.Concat(s.RetryableStatus, s.PermanentStatus) {
		if status < 400 || status > 599 {
			faults = append(faults, fmt.Errorf("HTTP status %d to classify: want 400 to 599", status))
		}
	}
	for i, c := range s.Classifiers {
		if c == nil {
			faults = append(faults, fmt.Errorf("classifier %d is nil", i))
		}
	}
	return errors.Join(faults...)
}

// Classifier classifies errors by its settings. It is safe for concurrent use; a
// nil *Classifier has the default settings.
type Classifier struct{ settings Settings }

// New returns a classifier, or an error that names every fault of the settings.
func New(s Settings) (*Classifier, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &Classifier{s}, nil
}

// Classify is [Classifier.Classify] with the default settings.
func Classify(ctx, attemptCtx context.Context, err error) Failure {
	if err == nil {
		return Failure{}
	}
	return (*Classifier)(nil).classify(ctx, attemptCtx, err)
}

// Classify returns the verdict on err, which an attempt returned. ctx is the
// caller's context (with the task's own deadline, where it has one), attemptCtx
// the attempt's, a child of it; either may be nil. A nil err is a success
// whatever the contexts say, costs next to nothing and allocates nothing.
//
// The whole tree of err is walked, within bounds. In order of precedence: the
// settings' classifiers; an explicit mark ([Permanent] over [RetryAfter]); the
// caller's context, by ctx.Err() and never only by the error; any error's own
// Retryable() bool and RetryAfter() time.Duration; the table, permanent over
// retryable. A library's Retryable() stands below the context because it answers
// false for a cancelled request, which is no reason to give a task up. Marks
// decide the class alone: kind, code and the breaker's share still come from
// what is marked.
//
// Neither context may have been cancelled merely to free it: cancel attemptCtx
// after Classify, else every error is aborted.
func (c *Classifier) Classify(ctx, attemptCtx context.Context, err error) Failure {
	if err == nil {
		return Failure{}
	}
	return c.classify(ctx, attemptCtx, err)
}

func (c *Classifier) classify(ctx, attemptCtx context.Context, err error) Failure {
	if c == nil {
		c = &Classifier{}
	}
	stopped := stoppedBy(ctx)
	if f, ok := c.ask(err); ok {
		if stopped != nil && f.Class == timeline.ClassRetryable {
			f.stop(stopped)
		}
		return f
	}
	w := walk{c: c, now: time.Now()}
	w.tree(err)
	f := w.verdict(attemptCtx)
	f.Err = err
	switch {
	case w.mark >= markedRetryable:
		w.apply(&f)
	case stopped != nil:
		f.stop(stopped)
	case attemptCtx != nil && errors.Is(attemptCtx.Err(), context.Canceled):
		// Whoever runs the attempt stopped it: an operator, or a shutdown.
		f.stop(context.Canceled)
	case w.mark != noMark:
		w.apply(&f)
	}
	if f.Class == timeline.ClassPermanent && f.Reason == "" {
		f.Reason = timeline.FailPermanent
	}
	if f.Class != timeline.ClassRetryable && f.Class != timeline.ClassDeferred {
		f.RetryAfter, f.HasRetryAfter = 0, false
	}
	return f
}

// stoppedBy returns why the caller wants no more, or nil. A deadline counts from
// its moment on, not from when its timer fired: the network's own deadlines are
// a little faster.
func stoppedBy(ctx context.Context) error {
	if ctx == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// stop makes the failure one that the caller's context caused. Neither a
// cancellation nor the task's own deadline says anything about the provider.
func (f *Failure) stop(cause error) {
	f.Breaker, f.Pause, f.Timeout = BreakerIgnore, false, false
	if errors.Is(cause, context.DeadlineExceeded) {
		f.Class, f.Kind, f.Reason = timeline.ClassPermanent, KindDeadline, timeline.FailDeadline
		return
	}
	f.Class, f.Kind, f.Reason = timeline.ClassAborted, KindCancelled, ""
}

// ask asks the settings' classifiers.
func (c *Classifier) ask(err error) (Failure, bool) {
	for _, one := range c.settings.Classifiers {
		f, ok := askOne(one, err)
		if !ok {
			continue
		}
		if f.Class == "" {
			f.Class = timeline.ClassRetryable
		}
		if f.Kind == "" {
			f.Kind = KindOther
		}
		if f.Class == timeline.ClassPermanent && f.Reason == "" {
			f.Reason = timeline.FailPermanent
		}
		f.RetryAfter = min(max(f.RetryAfter, 0), MaxRetryAfter)
		f.Err = err
		return f, true
	}
	return Failure{}, false
}

func askOne(classifier func(error) (Failure, bool), err error) (f Failure, ok bool) {
	defer func() {
		if recover() != nil {
			f, ok = Failure{}, false
		}
	}()
	return classifier(err)
}
