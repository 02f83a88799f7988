package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	slotPrefix = "slot-"
	maxSlots   = 4096
)

// OpenSlot opens a log in a free numbered slot, a directory "slot-0000" and so
// on under parent, creating what is missing: for several processes of one
// program that share a parent directory and nothing else. opts.Dir is ignored.
// The log in a slot may be one that a process now gone left there; it goes on
// with its id, its numbers and whatever it had not shipped.
func OpenSlot(parent string, opts Options) (*Log, error) {
	var lastErr error
	for i := range maxSlots {
		opts.Dir = filepath.Join(parent, fmt.Sprintf("%s%04d", slotPrefix, i))
		l, err := Open(opts)
		switch {
		case err == nil:
			return l, nil
		case errors.Is(err, ErrLocked):
			continue
		}
		// A slot that can't be opened is left alone; if the next can't either, it is
		// not the slot's fault.
		if lastErr != nil {
			return nil, fmt.Errorf("open slot under %s: %w", parent, errors.Join(lastErr, err))
		}
		lastErr = err
	}
	return nil, fmt.Errorf("open slot under %s: all %d are in use: %w", parent, maxSlots, ErrLocked)
}

// Orphans returns the slot directories under parent that nobody holds and in
// which a cursor has not reached the end, or which have frames and no cursor.
// The caller opens each with Open, ships what is left, and closes it or calls
// Destroy; ErrLocked there means that somebody else was quicker. A parent that
// does not exist has none.
func Orphans(parent string) ([]string, error) {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list slots: %w", err)
	}
	var dirs []string
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), slotPrefix) {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		waiting, err := hasFrames(dir)
		if err != nil && !errors.Is(err, ErrLocked) {
			errs = append(errs, err)
		}
		if waiting {
			dirs = append(dirs, dir)
		}
	}
	return dirs, errors.Join(errs...)
}

// hasFrames reports whether an unheld slot has frames that some cursor, or with
// no cursor anybody, has not passed.
func hasFrames(dir string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(files) == 0 {
		return false, err
	}
	l, err := Open(Options{Dir: dir, look: true})
	if err != nil {
		return false, err
	}
	at, found := l.slowest()
	if !found {
		at = l.Start()
	}
	waiting := at < l.End()
	return waiting, l.Close()
}

// Destroy closes the log and deletes its directory.
func (l *Log) Destroy() error {
	err := l.Close()
	if rmErr := os.RemoveAll(l.opts.Dir); rmErr != nil {
		return errors.Join(err, fmt.Errorf("delete log: %w", rmErr))
	}
	return err
}
