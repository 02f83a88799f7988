package alerting

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"bufio"
)

// maxLineBytes bounds one line of the journal: an alert with the largest error
// message and stack stays far below it.
const maxLineBytes = 1 << 20

// Behind its checksum a line says whether the next one belongs to it.
const (
	lineEnds     = ' '
	lineContinue = '+'
)

// journal is the file the state is made of: one record a line, each under a
// checksum, rewritten when it has grown well past what it says. What is flushed
// together is read whole or not at all: a decision is more than one record, and a
// process may be killed in the middle of writing them. It knows nothing of what a
// record means. It is not safe for concurrent use.
type journal struct {
	path string
	file *os.File
	// size is how much of the file is good; what is behind it was torn.
	size int64
	// base is the size after the last rewrite.
	base int64
	// pending is what was appended and not flushed. It stays until a flush succeeds,
	// so that a full disk loses nothing but time.
	pending []byte
	// last is where the last line of pending begins.
	last int
	// durable is how much of the file is known to be on the disk.
	durable int64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal opens or makes the file and calls read with each record in order.
// A torn tail is cut off, with what was flushed together with it; damaged lines
// before it are passed over and counted.
func openJournal(dir string, read func(record []byte) error) (j *journal, damaged int, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, 0, fmt.Errorf("make the directory: %w", err)
	}
	path := filepath.Join(dir, "alerts.journal")
	// A rewrite that was cut short left this behind; the journal itself is whole.
	_ = os.Remove(path + ".new")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open the journal: %w", err)
	}
	j = &journal{path: path, file: f}
	if damaged, err = j.load(read); err != nil {
		_ = f.Close()
		return nil, damaged, err
	}
	if err := f.Truncate(j.size); err != nil {
		_ = f.Close()
		return nil, damaged, fmt.Errorf("cut the torn end off: %w", err)
	}
	j.base, j.durable = j.size, j.size
	return j, damaged, nil
}

func (j *journal) load(read func([]byte) error) (damaged int, err error) {
	r := bufio.NewReaderSize(j.file, 64<<10)
	var line []byte
	var group [][]byte // what is not known to be whole yet
	at := int64(0)
	for {
		part, err := r.ReadSlice('\n')
		at += int64(len(part))
		if len(line) <= maxLineBytes {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			if len(line) > 0 {
				damaged++
			}
			return damaged, nil
		case err != nil:
			return damaged, fmt.Errorf("read the journal: %w", err)
		}
		record, goesOn, ok := openLine(line)
		if !ok {
			damaged++
		} else {
			group = append(group, bytes.Clone(record))
		}
		line = line[:0]
		if goesOn {
			continue
		}
		for _, r := range group {
			if err := read(r); err != nil {
				damaged++
			}
		}
		clear(group)
		group, j.size = group[:0], at
	}
}

// openLine gives the record of a line, and whether the next line belongs to it. Of
// a damaged line it is taken not to.
func openLine(line []byte) (record []byte, goesOn, ok bool) {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	if len(line) < 9 || len(line) > maxLineBytes || line[8] != lineEnds && line[8] != lineContinue {
		return nil, false, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[9:], castagnoli) {
		return nil, false, false
	}
	return line[9:], line[8] == lineContinue, true
}

func appendLine(dst, record []byte, then byte) []byte {
	dst = fmt.Appendf(dst, "%08x%c", crc32.Checksum(record, castagnoli), then)
	dst = append(dst, record...)
	return append(dst, '\n')
}

// add queues a record, which has no line break (it is JSON).
func (j *journal) add(record []byte) {
	j.last = len(j.pending)
	j.pending = appendLine(j.pending, record, lineContinue)
}

// flush writes what is queued and, where sync is set, waits until it and all
// before it is on the disk.
func (j *journal) flush(sync bool) error {
	if len(j.pending) > 0 {
		j.pending[j.last+8] = lineEnds
		if _, err := j.file.WriteAt(j.pending, j.size); err != nil {
			return fmt.Errorf("write the journal: %w", err)
		}
		j.size += int64(len(j.pending))
		j.pending = j.pending[:0]
	}
	if sync && j.durable < j.size {
		if err := j.file.Sync(); err != nil {
			return fmt.Errorf("sync the journal: %w", err)
		}
		j.durable = j.size
	}
	return nil
}

// syncing gives what brings all that was flushed to the disk, and may run beside
// everything else; nil where all is. Then done notes that it did.
func (j *journal) syncing() (sync func() error, done func()) {
	if j.durable == j.size {
		return nil, nil
	}
	f, size := j.file, j.size
	sync = func() error {
		// One that was closed meanwhile was rewritten, or ended, and that syncs.
		if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("sync the journal: %w", err)
		}
		return nil
	}
	return sync, func() {
		if j.file == f {
			j.durable = max(j.durable, size)
		}
	}
}

// grown reports whether a rewrite is worth it.
func (j *journal) grown(floor int64) bool { return j.size > floor && j.size > 2*j.base }

// rewrite replaces the file by the given records, in one step. What is queued is
// taken to be among them.
func (j *journal) rewrite(records [][]byte) error {
	f, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("rewrite the journal: %w", err)
	}
	size, err := writeLines(f, records)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(j.path + ".new")
		return fmt.Errorf("rewrite the journal: %w", err)
	}
	_ = j.file.Close()
	j.file, j.size, j.base, j.durable, j.pending = f, size, size, size, j.pending[:0]
	if err := syncDir(filepath.Dir(j.path)); err != nil {
		return fmt.Errorf("rewrite the journal: %w", err)
	}
	return nil
}

func writeLines(f *os.File, records [][]byte) (size int64, err error) {
	w := bufio.NewWriterSize(f, 256<<10)
	var line []byte
	for _, r := range records {
		line = appendLine(line[:0], r, lineEnds)
		n, err := w.Write(line)
		size += int64(n)
		if err != nil {
			return size, err
		}
	}
	return size, w.Flush()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (j *journal) close() error {
	err := j.flush(true)
	return errors.Join(err, j.file.Close())
}
