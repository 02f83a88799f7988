package spool

import (
	"errors"
	"fmt"
)

// Errors that callers steer by; each may come wrapped with what was being done.
var (
	// ErrFull says that the frame was refused because the log reached its bound
	// or the disk has no room. Nothing was written and no sequence number used.
	ErrFull = errors.New("spool: full")
	// ErrFrameTooLarge says that the frame passes Options.MaxFrameBytes.
	ErrFrameTooLarge = errors.New("spool: frame too large")
	// ErrEmptyFrame says that the frame has no bytes. An AppendFunc whose
	// function adds nothing gets it too, and has thereby used no sequence number.
	ErrEmptyFrame = errors.New("spool: empty frame")
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("spool: closed")
	// ErrLocked says that another Log, in this process or another, holds the
	// directory. The error that wraps it names the directory.
	ErrLocked = errors.New("spool: directory is in use")
	// ErrSyncFailed says that an fsync failed once. The kernel may have dropped
	// the dirty pages and report success the next time, so the log never calls
	// anything durable again until it is opened anew.
	ErrSyncFailed = errors.New("spool: an fsync failed, durability can no longer be promised")
	// ErrFault says that writing to the mapped segment faulted: the file was
	// truncated by someone, or the device failed under it.
	ErrFault = errors.New("spool: segment is no longer writable")
	// ErrGone says that a position lies before the start of the log: its segment
	// has been deleted.
	ErrGone = errors.New("spool: position is before the start of the log")
	// ErrBadPosition says that a position lies after the end of the log, goes
	// back, or is not one that this log gave out.
	ErrBadPosition = errors.New("spool: no such position")
	// ErrFrozen says that a cursor holds another frozen range.
	ErrFrozen = errors.New("spool: cursor has a frozen range")
	// ErrCursorRemoved says that the cursor was removed.
	ErrCursorRemoved = errors.New("spool: cursor was removed")
)

// LockedError names the directory that another Log holds; it is ErrLocked.
type LockedError struct{ Dir string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("spool: directory %s is in use by another process or log", e.Dir)
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }
