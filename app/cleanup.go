package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// cleanups is a stack of named things to undo, run in reverse of the order they
// were started in. Each gets what is left of the time; one that fails or hangs
// does not keep the others from running.
type cleanups struct {
	log   *slog.Logger
	stack []cleanup
}

type cleanup struct {
	name string
	run  func(context.Context) error
}

func (c *cleanups) push(name string, run func(context.Context) error) {
	c.stack = append(c.stack, cleanup{name, run})
}

func (c *cleanups) pushFunc(name string, run func()) {
	c.push(name, func(context.Context) error { run(); return nil })
}

// run undoes everything and empties the stack, so that a second call does nothing.
func (c *cleanups) run(ctx context.Context) error {
	var errs []error
	for len(c.stack) > 0 {
		last := c.stack[len(c.stack)-1]
		c.stack = c.stack[:len(c.stack)-1]
		began := time.Now()
		if err := last.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", last.name, err))
		}
		c.log.Debug("stopped", "part", last.name, "took", time.Since(began).Round(time.Millisecond))
	}
	return errors.Join(errs...)
}
