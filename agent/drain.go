package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// errUnreachable ends the shipping of an agent that closes: nobody is there to
// take anything.
var errUnreachable = errors.New("nobody listens at the collector's address")

// unreachable reports whether an error says that a try later in this moment would
// come to the same: the collector's address takes no connection.
func unreachable(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial" && !op.Timeout()
}

// draining reports whether the agent closes.
func (a *Agent) draining() bool {
	select {
	case <-a.closing:
		return true
	default:
		return false
	}
}

// Flush waits until the collector has acknowledged everything that was recorded
// when it was called, or ctx ends.
func (a *Agent) Flush(ctx context.Context) error { return a.flush(ctx, nil) }

// flush is Flush that ends when gone is closed, too.
func (a *Agent) flush(ctx context.Context, gone <-chan struct{}) error {
	if a.log == nil {
		return errors.New("agent: the spool could not be opened, nothing is recorded")
	}
	cursor, err := a.log.Cursor(shipCursor)
	if err != nil {
		return fmt.Errorf("agent: flush: %w", err)
	}
	end := a.log.End()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for cursor.Position() < end {
		select {
		case <-tick.C:
		case <-gone:
			return fmt.Errorf("agent: flush: %w", errUnreachable)
		case <-ctx.Done():
			return fmt.Errorf("agent: flush: %w", context.Cause(ctx))
		}
	}
	return nil
}

// drainTimeout bounds how long Close ships what is left where its context does
// not; stopTimeout how long it waits for handlers that do not look at theirs.
const (
	drainTimeout = 10 * time.Second
	stopTimeout  = time.Second
)

var errClosing = errors.New("the agent closes")

// Close ships what is left, as long as ctx allows and somebody listens at the
// collector's address, stops what Start began and closes the spool. What was not
// shipped is shipped by the next process. Running tasks should have ended before;
// those that have not write no more events. A handler of a queue that goes on
// for a second after its context ended is left behind, which is an error.
func (a *Agent) Close(ctx context.Context) error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil
	}
	a.closed = true
	started := a.started
	a.mu.Unlock()
	close(a.closing)
	ctx, stop := context.WithTimeout(ctx, drainTimeout)
	defer stop()
	if a.log != nil {
		a.shed.settle(a) // the last that was shed may have had no event after it
	}
	var errs []error
	if started {
		if err := a.flush(ctx, a.gone); err != nil {
			a.cfg.Logger.Warn("not everything was shipped before the end; the next process goes on", "error", err)
		}
		a.cancel(errClosing)
		errs = append(errs, a.stopHandlers())
	}
	a.wg.Wait()
	a.client.CloseIdleConnections()
	errs = append(errs, a.journal.save(a), a.recover.save(), a.tel.close())
	if a.log != nil {
		errs = append(errs, a.log.Close())
	}
	return errors.Join(errs...)
}

// stopHandlers waits for what calls handlers of the program. One that does not
// return keeps its goroutine, and nothing else.
func (a *Agent) stopHandlers() error {
	stopped := make(chan struct{})
	go func() {
		a.handlers.Wait()
		close(stopped)
	}()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-stopped:
		return nil
	case <-timer.C:
		return errors.New("agent: close: a handler of the program still runs after its context ended")
	}
}
