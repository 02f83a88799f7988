package failure

import (
	"context"
	"errors"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Bounds on the tree of an error. What lies past them is not looked at.
const (
	maxDepth = 64
	maxNodes = 512
)

// The marks an error may carry, the stronger the greater.
type mark uint8

const (
	noMark mark = iota
	saysRetryable
	saysPermanent
	markedRetryable
	markedPermanent
)

// The ranks of what is found in a tree: the greatest names the error, and
// anything permanent stands above anything retryable.
const (
	rankOther = iota
	rankText
	rankTransport
	rankTimeout
	rankName     // DNS, TLS: more telling than the timeout it may carry
	rankLocal    // this machine's own trouble
	rankProtocol // an answer with a code: the most telling of all
	rankPermanent
	rankFixed // panics, Goexit, sentinels
)

// walk looks at every error of a tree once.
type walk struct {
	c     *Classifier
	now   time.Time
	nodes int

	mark  mark
	rank  int
	best  Failure
	found bool

	after    time.Duration
	hasAfter bool
	pause    bool
	stack    string
}

func (w *walk) tree(err error) { w.node(err, 0) }

// node looks at err and at what it wraps. Methods of foreign errors are called
// with a recover around them: a nil receiver must not take the task down.
func (w *walk) node(err error, depth int) {
	if err == nil || depth > maxDepth || w.nodes >= maxNodes {
		return
	}
	w.nodes++
	if !w.look(err) {
		return
	}
	one, many := children(err)
	w.node(one, depth+1)
	for _, child := range many {
		w.node(child, depth+1)
	}
}

func children(err error) (one error, many []error) {
	defer func() { _ = recover() }()
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		one = e.Unwrap()
	case interface{ Unwrap() []error }:
		many = e.Unwrap()
	}
	return one, many
}

// look takes what one error says, and reports whether to look at what it wraps.
func (w *walk) look(err error) (deeper bool) {
	deeper = true
	defer func() { _ = recover() }()
	switch e := err.(type) {
	case *permanentError:
		w.mark = max(w.mark, markedPermanent)
		return true
	case *retryAfterError:
		w.mark = max(w.mark, markedRetryable)
		w.wait(e.after)
		return true
	case *PanicError:
		w.fixed(Failure{Class: timeline.ClassPermanent, Kind: KindPanic, Stack: string(e.Stack)})
		return false // a panic is a panic, whatever it was raised with
	case *GoexitError:
		w.fixed(Failure{Class: timeline.ClassPermanent, Kind: KindGoexit, Stack: string(e.Stack)})
		return false
	case Sentinel:
		w.fixed(sentinel(e))
		return false
	}
	if w.stack == "" {
		w.stack = stackOf(err)
	}
	w.says(err)
	w.protocol(err)
	w.transport(err)
	return deeper
}

// says takes the word of errors that know whether and when to retry.
func (w *walk) says(err error) {
	if e, ok := err.(interface{ RetryAfter() time.Duration }); ok {
		if d := e.RetryAfter(); d > 0 {
			w.mark = max(w.mark, saysRetryable)
			w.wait(d)
		}
	}
	if e, ok := err.(interface{ Retryable() bool }); ok {
		if e.Retryable() {
			w.mark = max(w.mark, saysRetryable)
		} else {
			w.mark = max(w.mark, saysPermanent)
		}
	}
	// An error may stand for a mark without wrapping it.
	if e, ok := err.(interface{ As(any) bool }); ok {
		var permanent *permanentError
		var after *retryAfterError
		switch {
		case e.As(&permanent):
			w.mark = max(w.mark, markedPermanent)
		case e.As(&after) && after != nil:
			w.mark = max(w.mark, markedRetryable)
			w.wait(after.after)
		}
	}
}

// wait notes what a server asked for; the longest of several is kept, so that
// none is undercut.
func (w *walk) wait(d time.Duration) {
	w.after, w.hasAfter = max(w.after, min(max(d, 0), MaxRetryAfter)), true
}

func (w *walk) fixed(f Failure) { w.take(rankFixed, f) }

// take keeps f where it tells more than what was found so far. Permanent stands
// above retryable whatever the ranks.
func (w *walk) take(rank int, f Failure) {
	if f.Class == timeline.ClassPermanent && rank < rankPermanent {
		rank = rankPermanent
	}
	if w.found && rank <= w.rank {
		return
	}
	w.rank, w.best, w.found = rank, f, true
}

// verdict is what the tree says without its marks.
func (w *walk) verdict(attemptCtx context.Context) Failure {
	f := w.best
	if expired(attemptCtx) && w.rank < rankLocal {
		f = Failure{Class: timeline.ClassRetryable, Kind: KindTimeout, Breaker: BreakerFailure, Timeout: true}
	} else if !w.found {
		f = Failure{Class: timeline.ClassRetryable, Kind: KindOther, Breaker: BreakerFailure}
	}
	f.RetryAfter, f.HasRetryAfter, f.Pause = w.after, w.hasAfter, w.pause
	if f.Stack == "" {
		f.Stack = w.stack
	}
	return f
}

// expired reports whether the attempt's own time ran out. net/http returns a
// context's cause, which may be any error, so that the context itself is asked.
func expired(attemptCtx context.Context) bool {
	return attemptCtx != nil && errors.Is(attemptCtx.Err(), context.DeadlineExceeded)
}

// apply lets the mark decide the class. A permanent mark on an error without a
// name is a verdict on the task, a declined card say, and none on the provider.
func (w *walk) apply(f *Failure) {
	if w.mark == saysPermanent || w.mark == markedPermanent {
		if f.Kind == KindOther {
			f.Breaker = BreakerIgnore
		}
		f.Class = timeline.ClassPermanent
		return
	}
	if f.Class != timeline.ClassDeferred {
		f.Class, f.Reason = timeline.ClassRetryable, ""
	}
}

func sentinel(s Sentinel) Failure {
	switch s {
	case ErrInvalidCallbackURL:
		return Failure{Class: timeline.ClassPermanent, Kind: KindInvalidCallbackURL}
	case ErrUnknownTaskType:
		return Failure{Class: timeline.ClassPermanent, Kind: KindUnknownTaskType}
	case ErrUndecodableInput:
		return Failure{Class: timeline.ClassPermanent, Kind: KindUndecodableInput}
	case ErrCircuitOpen:
		return Failure{Class: timeline.ClassDeferred, Kind: KindCircuitOpen}
	case ErrLimiterFull:
		return Failure{Class: timeline.ClassDeferred, Kind: KindLimiterFull}
	default:
		return Failure{Class: timeline.ClassRetryable, Kind: KindOther, Breaker: BreakerFailure}
	}
}
