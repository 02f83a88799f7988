package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A cursor's file has two slots, at 0 and 512, that are written in turn: a write
// that tears destroys the older state only. The newer valid one counts.
const (
	cursorSuffix = ".cursor"
	cursorBytes  = 1024
	slotBytes    = 512
	slotLen      = 40
)

// Cursor is a reader's persisted place in the log. Segments that a cursor has
// not passed are not deleted. It is safe for concurrent use.
//
// Freeze is on the disk when it returns. Advance is in the kernel's hands when
// it returns: a kill keeps it, a power cut may undo it, back to the last frozen
// range and no further, so that what is repeated is repeated with its old token.
type Cursor struct {
	l    *Log
	name string
	path string
	pos  atomic.Uint64 // state.pos, for those who look without the lock

	mu      sync.Mutex
	file    *os.File
	state   cursorState
	dirty   bool // written and not synced
	removed bool
}

// cursorState is what a slot of the file holds.
type cursorState struct {
	gen    uint64
	pos    Position
	to     Position // the end of the frozen range
	frozen bool
	seq    uint64 // a number that all frames up to pos and to are below
}

// CursorOption says how a cursor that does not exist yet begins.
type CursorOption func(*cursorConfig)

type cursorConfig struct{ atEnd bool }

// FromEnd lets a new cursor begin at End, so that it sees only what follows,
// instead of Start.
func FromEnd() CursorOption { return func(c *cursorConfig) { c.atEnd = true } }

func encodeSlot(b []byte, st cursorState, salt uint64) {
	binary.LittleEndian.PutUint64(b, st.gen)
	binary.LittleEndian.PutUint64(b[8:], uint64(st.pos))
	binary.LittleEndian.PutUint64(b[16:], uint64(st.to))
	var flags uint64
	if st.frozen {
		flags = 1
	}
	binary.LittleEndian.PutUint64(b[24:], flags)
	binary.LittleEndian.PutUint64(b[32:], st.seq)
	binary.LittleEndian.PutUint32(b[slotLen:], crc32.Update(uint32(salt), castagnoli, b[:slotLen]))
}

func decodeSlot(b []byte, salt uint64) (cursorState, bool) {
	if len(b) < slotLen+4 || binary.LittleEndian.Uint32(b[slotLen:]) != crc32.Update(uint32(salt), castagnoli, b[:slotLen]) {
		return cursorState{}, false
	}
	flags := binary.LittleEndian.Uint64(b[24:])
	st := cursorState{
		gen: binary.LittleEndian.Uint64(b), pos: Position(binary.LittleEndian.Uint64(b[8:])),
		to: Position(binary.LittleEndian.Uint64(b[16:])), frozen: flags == 1, seq: binary.LittleEndian.Uint64(b[32:]),
	}
	ok := st.gen > 0 && flags <= 1 && st.pos <= maxPosition && st.to <= maxPosition && st.seq <= seqMask+1 &&
		(!st.frozen || st.pos < st.to)
	return st, ok
}

// decodeCursor returns the newer valid state of a cursor's file.
func decodeCursor(b []byte, salt uint64) (cursorState, bool) {
	var st cursorState
	found := false
	for at := 0; at < cursorBytes && at < len(b); at += slotBytes {
		if s, ok := decodeSlot(b[at:], salt); ok && s.gen%2 == uint64(at/slotBytes) && (!found || s.gen > st.gen) {
			st, found = s, true
		}
	}
	return st, found
}

func validCursorName(name string) bool {
	return len(name) >= 1 && len(name) <= 64 && name[0] != '.' &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

// loadCursors opens the cursors there are, and returns the furthest position and
// the highest number that they know of.
func (l *Log) loadCursors() (furthest Position, seq uint64, err error) {
	entries, err := os.ReadDir(l.opts.Dir)
	if err != nil {
		return 0, 0, fmt.Errorf("list cursors: %w", err)
	}
	start := (Position)(0)
	if segs := *l.segs.Load(); len(segs) > 0 {
		start = segs[0].base
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), cursorSuffix)
		if !ok || !validCursorName(name) {
			continue
		}
		c := &Cursor{l: l, name: name, path: filepath.Join(l.opts.Dir, e.Name())}
		if c.file, err = os.OpenFile(c.path, os.O_RDWR, 0); err != nil {
			return 0, 0, fmt.Errorf("open cursor %s: %w", name, err)
		}
		l.cursors[name] = c
		b := make([]byte, cursorBytes)
		n, _ := c.file.ReadAt(b, 0) // what can't be read does not check out
		c.state, ok = decodeCursor(b[:n], l.salt)
		if !ok {
			// Delivering again is what a receiver can cope with.
			c.state = cursorState{pos: start}
			l.reset.Add(1)
			l.log.Error("a cursor's file is damaged; it begins anew at the start of the log", "cursor", name, "position", start)
		}
		if c.state.pos < start {
			c.state.pos, c.state.frozen = start, false
		}
		c.pos.Store(uint64(c.state.pos))
		furthest, seq = max(furthest, c.state.pos), max(seq, c.state.seq)
		if c.state.frozen {
			furthest = max(furthest, c.state.to)
		}
	}
	return furthest, seq, nil
}

// Cursor returns the named cursor, creating it at Start when it does not exist.
// The name is 1 to 64 of a-z, 0-9, "-", "_" and ".", not beginning with ".", and
// becomes a file name. Asking twice gives the same cursor.
func (l *Log) Cursor(name string, opts ...CursorOption) (*Cursor, error) {
	if !validCursorName(name) {
		return nil, fmt.Errorf("cursor name %.70q: want 1 to 64 of a-z, 0-9, '-', '_', '.', not '.' first", name)
	}
	var cfg cursorConfig
	for _, o := range opts {
		o(&cfg)
	}
	l.namesMu.Lock()
	defer l.namesMu.Unlock()
	c, made, err := l.placeCursor(name, cfg)
	if err != nil || !made {
		return c, err
	}
	b := make([]byte, cursorBytes)
	encodeSlot(b, c.state, l.salt)
	f, err := createWhole(c.path, b)
	c.mu.Lock()
	c.file = f
	c.mu.Unlock()
	if err != nil {
		l.curMu.Lock()
		delete(l.cursors, name)
		l.curMu.Unlock()
		return nil, fmt.Errorf("create cursor %s: %w", name, err)
	}
	return c, nil
}

// placeCursor finds the cursor or gives a new one its position. It does so under
// the log's lock, so that no segment is deleted between reading the position and
// holding on to it.
func (l *Log) placeCursor(name string, cfg cursorConfig) (c *Cursor, made bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.curMu.Lock()
	defer l.curMu.Unlock()
	if c := l.cursors[name]; c != nil {
		return c, false, nil
	}
	if errors.Is(l.refuse, ErrClosed) {
		return nil, false, ErrClosed
	}
	c = &Cursor{l: l, name: name, path: filepath.Join(l.opts.Dir, name+cursorSuffix)}
	c.state = cursorState{gen: 2, pos: l.Start(), seq: l.nextSeq}
	if cfg.atEnd {
		c.state.pos = l.End()
	}
	c.pos.Store(uint64(c.state.pos))
	l.cursors[name] = c
	return c, true, nil
}

// slowest returns the position that all cursors have reached, and false when
// there is none. It takes no lock that is held during input or output.
func (l *Log) slowest() (Position, bool) {
	l.curMu.Lock()
	defer l.curMu.Unlock()
	at, found := maxPosition, false
	for _, c := range l.cursors {
		at, found = min(at, Position(c.pos.Load())), true
	}
	return at, found
}

// syncCursors has all cursors on the disk.
func (l *Log) syncCursors() {
	l.curMu.Lock()
	cursors := make([]*Cursor, 0, len(l.cursors))
	for _, c := range l.cursors {
		cursors = append(cursors, c)
	}
	l.curMu.Unlock()
	for _, c := range cursors {
		c.mu.Lock()
		if err := c.sync(); err != nil {
			l.log.Warn("a cursor can't be synced; a power cut may have it repeat", "cursor", c.name, "error", err)
		}
		c.mu.Unlock()
	}
}

// Cursors returns the names of all cursors, sorted.
func (l *Log) Cursors() []string {
	l.curMu.Lock()
	defer l.curMu.Unlock()
	names := make([]string, 0, len(l.cursors))
	for name := range l.cursors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// RemoveCursor deletes the named cursor and with it its hold on the segments.
// Removing one that does not exist does nothing.
func (l *Log) RemoveCursor(name string) error {
	l.namesMu.Lock()
	defer l.namesMu.Unlock()
	l.curMu.Lock()
	c := l.cursors[name]
	l.curMu.Unlock()
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := os.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove cursor %s: %w", name, err)
	}
	c.removed = true
	l.curMu.Lock()
	delete(l.cursors, name)
	l.curMu.Unlock()
	err := errors.Join(c.file.Close(), syncDir(l.opts.Dir))
	kick(l.keepKick)
	if err != nil {
		return fmt.Errorf("remove cursor %s: %w", name, err)
	}
	return nil
}

// Name returns the cursor's name.
func (c *Cursor) Name() string { return c.name }

// Position returns the place up to which everything was dealt with.
func (c *Cursor) Position() Position { return Position(c.pos.Load()) }

// Frozen returns the frozen range, if there is one.
func (c *Cursor) Frozen() (from, to Position, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.state.frozen {
		return 0, 0, false
	}
	return c.state.pos, c.state.to, true
}

// Freeze fixes the range [Position, to) as the next one to deliver and returns
// when that is on the disk. Freezing the same range again does nothing; another
// one is ErrFrozen.
func (c *Cursor) Freeze(to Position) error {
	seq := c.l.NextSeq()
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.state
	if st.frozen {
		if st.to == to && !c.removed {
			return c.sync()
		}
		return c.wrap("freeze", ErrFrozen)
	}
	if to <= st.pos || to > c.l.End() {
		return c.wrap("freeze", fmt.Errorf("%w: %d", ErrBadPosition, to))
	}
	st.to, st.frozen, st.seq = to, true, seq
	if err := c.write(st); err != nil {
		return err
	}
	return c.sync()
}

// Thaw drops the frozen range without advancing, for a batch that is to be cut
// anew after it was refused for good. Without a frozen range it does nothing.
func (c *Cursor) Thaw() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.state.frozen {
		return nil
	}
	st := c.state
	st.to, st.frozen = 0, false
	return c.write(st)
}

// Advance moves the cursor to a later position and drops the frozen range. With
// a frozen range, that range's end is the only position allowed (else
// ErrFrozen). Going back is ErrBadPosition; staying does nothing.
func (c *Cursor) Advance(to Position) error {
	seq := c.l.NextSeq()
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.state
	switch {
	case c.removed:
		return c.wrap("advance", ErrCursorRemoved)
	case st.frozen && to != st.to:
		return c.wrap("advance", ErrFrozen)
	case to == st.pos:
		return nil
	case to < st.pos, to > c.l.End():
		return c.wrap("advance", fmt.Errorf("%w: %d", ErrBadPosition, to))
	}
	st.pos, st.to, st.frozen, st.seq = to, 0, false, seq
	if err := c.write(st); err != nil {
		return err
	}
	c.pos.Store(uint64(to))
	if segs := *c.l.segs.Load(); len(segs) > 1 && segs[0].sealed.Load() && to > segs[0].pos(segs[0].end) {
		kick(c.l.keepKick)
	}
	return nil
}

// write puts the state into the slot that does not hold the present one. A kill
// does not lose it. It runs under mu.
func (c *Cursor) write(st cursorState) error {
	if c.removed {
		return c.wrap("write", ErrCursorRemoved)
	}
	st.gen = c.state.gen + 1
	var b [slotLen + 4]byte
	encodeSlot(b[:], st, c.l.salt)
	if _, err := c.file.WriteAt(b[:], int64(st.gen%2)*slotBytes); err != nil {
		if errors.Is(err, os.ErrClosed) {
			err = ErrClosed
		}
		return c.wrap("write", err)
	}
	c.state, c.dirty = st, true
	return nil
}

// sync has the last write on the disk. It runs under mu.
func (c *Cursor) sync() error {
	if !c.dirty || c.removed {
		return nil
	}
	if err := syncData(c.file, nil); err != nil {
		return c.wrap("sync", err)
	}
	c.dirty = false
	return nil
}

func (c *Cursor) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

func (c *Cursor) wrap(what string, err error) error {
	return fmt.Errorf("cursor %s: %s: %w", c.name, what, err)
}
