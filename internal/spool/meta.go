package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The file "meta" holds the log's identity, and at 512 the session: which boot
// of the machine the log was opened in last, and whether it was closed. The
// identity stands in every segment's header, too. Both are written in place, so
// that opening a log on a full disk needs no room.
const (
	metaName   = "meta"
	metaBytes  = 1024
	sessionAt  = 512
	sessionLen = 64 + 1
)

// openMeta finds out which log this is, or makes one. intact tells whether the
// page cache of the last session can be trusted: it was closed, or the machine
// has been up since.
func (l *Log) openMeta(segs []*segment) (intact bool, err error) {
	path := filepath.Join(l.opts.Dir, metaName)
	b := make([]byte, metaBytes)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		l.meta = f
		_, _ = f.ReadAt(b, 0) // what can't be read does not check out below
	} else if !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("open meta file: %w", err)
	}
	who, _, known := decodeIdentity(b)
	intact = sessionIntact(b[sessionAt:]) || err != nil && len(segs) == 0
	for i := 0; !known && i < len(segs); i++ {
		var head [segmentHeaderSize]byte
		if _, err := segs[i].file.ReadAt(head[:], 0); err == nil {
			if who, _, known = decodeIdentity(head[:]); known {
				l.log.Warn("the meta file is damaged or missing; a segment stands in for it", "dir", l.opts.Dir)
			}
		}
		if known {
			l.who = who
			return intact, l.writeMeta(path)
		}
	}
	if known {
		l.who = who
		return intact, nil
	}
	if len(segs) > 0 {
		return false, fmt.Errorf("neither %s nor a segment header tells which log this is: the frames can't be checked", path)
	}
	_, _ = rand.Read(l.who.id[:]) // never fails: crypto/rand aborts the process instead
	l.who.id[6] = l.who.id[6]&0x0f | 0x40
	l.who.id[8] = l.who.id[8]&0x3f | 0x80
	var salt [8]byte
	_, _ = rand.Read(salt[:])
	l.who.salt = binary.LittleEndian.Uint64(salt[:])
	return true, l.writeMeta(path)
}

// writeMeta writes the file anew.
func (l *Log) writeMeta(path string) error {
	if l.meta != nil {
		_ = l.meta.Close()
		l.meta = nil
	}
	b := make([]byte, metaBytes)
	encodeIdentity(b, 0, 0, l.who)
	f, err := createWhole(path, b)
	if err != nil {
		return fmt.Errorf("write meta file: %w", err)
	}
	l.meta = f
	return nil
}

// createWhole writes a small file that is there as a whole or not at all.
func createWhole(path string, content []byte) (*os.File, error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, noRoom(err)
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(noRoom(err), f.Close())
	}
	return f, nil
}

func encodeSession(b []byte, boot string, closed bool) {
	clear(b[:sessionLen])
	copy(b[:64], boot)
	if closed {
		b[64] = 1
	}
	putChecked(b, sessionLen)
}

func sessionIntact(b []byte) bool {
	if !checked(b, sessionLen) {
		return false
	}
	var now [64]byte
	copy(now[:], bootID())
	return b[64] == 1 || now[0] != 0 && string(now[:]) == string(b[:64])
}

// writeSession notes on the disk that the log is open, or closed.
func (l *Log) writeSession(closed bool) error {
	var b [sessionLen + 4]byte
	encodeSession(b[:], bootID(), closed)
	if _, err := l.meta.WriteAt(b[:], sessionAt); err != nil {
		return fmt.Errorf("write meta file: %w", err)
	}
	if err := syncData(l.meta, nil); err != nil {
		return fmt.Errorf("sync meta file: %w", err)
	}
	return nil
}
