package spool

// OpenSlot opens a log in a free numbered slot, a directory "slot-0000" and so
// on under parent, creating what is missing: for several processes of one
// program that share a parent directory and nothing else. opts.Dir is ignored.
// The log in a slot may be one that a process now gone left there; it goes on
// with its id, its numbers and whatever it had not shipped.
func OpenSlot(parent string, opts Options) (*Log, error) { return nil, errUnfinished }

// Orphans returns the slot directories under parent that nobody holds and in
// which a cursor has not reached the end, or which have frames and no cursor.
// The caller opens each with Open, ships what is left, and closes it or calls
// Destroy; ErrLocked there means that somebody else was quicker.
func Orphans(parent string) ([]string, error) { return nil, errUnfinished }

// Destroy closes the log and deletes its directory.
func (l *Log) Destroy() error { return errUnfinished }
