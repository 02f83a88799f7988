package spool

// Cursor is a reader's persisted place in the log. Segments that a cursor has
// not passed are not deleted. It is safe for concurrent use.
//
// Freeze is on the disk when it returns. Advance is in the kernel's hands when
// it returns: a kill keeps it, a power cut may undo it, back to the last frozen
// range and no further, so that what is repeated is repeated with its old token.
type Cursor struct{ l *Log }

// CursorOption says how a cursor that does not exist yet begins.
type CursorOption func(*cursorConfig)

type cursorConfig struct{ atEnd bool }

// FromEnd lets a new cursor begin at End, so that it sees only what follows,
// instead of Start.
func FromEnd() CursorOption { return func(c *cursorConfig) { c.atEnd = true } }

// Cursor returns the named cursor, creating it at Start when it does not exist.
// The name is 1 to 64 of a-z, 0-9, "-", "_" and ".", and becomes a file name.
// Asking twice gives the same cursor.
func (l *Log) Cursor(name string, opts ...CursorOption) (*Cursor, error) {
	return nil, errUnfinished
}

// Cursors returns the names of all cursors, sorted.
func (l *Log) Cursors() []string { return nil }

// RemoveCursor deletes the named cursor and with it its hold on the segments.
// Removing one that does not exist does nothing.
func (l *Log) RemoveCursor(name string) error { return errUnfinished }

// Name returns the cursor's name.
func (c *Cursor) Name() string { return "" }

// Position returns the place up to which everything was dealt with.
func (c *Cursor) Position() Position { return 0 }

// Freeze fixes the range [Position, to) as the next one to deliver and returns
// when that is on the disk. Freezing the same range again does nothing; another
// one is ErrFrozen.
func (c *Cursor) Freeze(to Position) error { return errUnfinished }

// Frozen returns the frozen range, if there is one.
func (c *Cursor) Frozen() (from, to Position, ok bool) { return 0, 0, false }

// Thaw drops the frozen range without advancing, for a batch that is to be cut
// anew after it was refused for good. Without a frozen range it does nothing.
func (c *Cursor) Thaw() error { return errUnfinished }

// Advance moves the cursor to a later position and drops the frozen range. With
// a frozen range, that range's end is the only position allowed (else
// ErrFrozen). Going back is ErrBadPosition; staying does nothing.
func (c *Cursor) Advance(to Position) error { return errUnfinished }
