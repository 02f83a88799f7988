package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// A block is sent when it has this many rows or bytes of records. Both are part
// of what a token stands for: a batch must fall into the same blocks every time.
const (
	blockRows  = 50_000
	blockBytes = 32 << 20
)

// writer has what inserts reuse. One block stays for good: a pool would give its
// megabytes away at every second collection of garbage, and grow them anew.
type writer struct {
	free    atomic.Pointer[block]
	written atomic.Uint64
	skipped atomic.Uint64
}

// block is the buffers of one insert.
type block struct {
	cols *columns
	rec  wire.Record
	buf  chproto.Buffer
	size int
}

// WriteStats counts what was written since the store was opened.
type WriteStats struct {
	// Written are events the server has acknowledged, repeats included.
	Written uint64
	// Unreadable are records that were in a frame and could not be read.
	Unreadable uint64
}

// WriteStats returns the counters.
func (s *Store) WriteStats() WriteStats {
	return WriteStats{Written: s.writer.written.Load(), Unreadable: s.writer.skipped.Load()}
}

// Name is the name of the sink.
func (s *Store) Name() string { return "clickhouse" }

// Write inserts the events of a batch's frames and returns when the server has
// them on disk. The same batch written again, after an error or without one,
// changes nothing. An error whose Permanent method reports true will not heal.
func (s *Store) Write(ctx context.Context, b *spool.Batch) error {
	return s.WriteFrames(ctx, b.Token(), b.Frames)
}

// WriteFrames is Write for frames that belong to no log. The token must stand for
// these frames and no others, for ever: with a token that was used before, the
// server throws the events away and reports success.
func (s *Store) WriteFrames(ctx context.Context, token string, frames [][]byte) error {
	bl := s.writer.free.Swap(nil)
	if bl == nil {
		bl = &block{cols: newColumns()}
	}
	defer s.writer.free.Store(bl)
	bl.cols.reset()
	bl.size = 0
	bl.rec.Skipped = 0
	total := 0
	for _, frame := range frames {
		total += len(frame)
	}
	bl.cols.record.grow(min(total, blockBytes))
	part := 0
	flush := func() error {
		if bl.cols.rows() == 0 {
			return nil
		}
		err := s.insert(ctx, bl, token+":"+strconv.Itoa(part))
		part++
		return err
	}
	for i, frame := range frames {
		err := wire.ScanFrame(frame, &bl.rec, func(rec *wire.Record) error {
			bl.cols.add(rec)
			bl.size += len(rec.Raw) + 256
			if bl.cols.rows() >= blockRows || bl.size >= blockBytes {
				return flush()
			}
			return nil
		})
		switch {
		case errors.Is(err, wire.ErrCorruptFrame):
			// It will not get better, and holding up its neighbours helps nobody.
			s.writer.skipped.Add(1)
			s.cfg.Logger.Error("a frame of the log cannot be read and is passed over", "batch", token, "frame", i, "error", err)
		case err != nil:
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	s.writer.skipped.Add(bl.rec.Skipped)
	s.rollupSoon(time.Now().Add(-rollupReach), rollupWritePause)
	return nil
}

// insert sends the block, and after its events what they say of their tasks and of
// their payments, and empties it. All carry one token, which each table knows apart:
// the batch that is tried again after the first of them adds the others alone.
func (s *Store) insert(ctx context.Context, bl *block, token string) error {
	rows := bl.cols.rows()
	bl.buf.Reset()
	if err := bl.cols.encode(&bl.buf); err != nil {
		return fmt.Errorf("insert %d events: encode: %w", rows, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	settings := s.clusterSettings()
	maps.Copy(settings, clickhouse.Settings{
		// Set one by one: what they default to changed between versions.
		"insert_deduplicate":                                 1,
		"insert_deduplication_token":                         token,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		"async_insert":                                       0,
		"wait_for_async_insert":                              1,
		"parallel_view_processing":                           0,
		"materialized_views_ignore_errors":                   0,
		// One insert is one block: the token stands for it.
		"max_insert_block_size":         blockRows * 4,
		"min_insert_block_size_rows":    0,
		"min_insert_block_size_bytes":   0,
		"input_format_parallel_parsing": 0,
	})
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings))
	err := s.write.InsertFormat(ctx, "Native", insertInto("events_in", bl.cols.input), bytes.NewReader(bl.buf.Buf))
	if err != nil {
		return &writeError{fmt.Errorf("insert %d events: %w", rows, err), permanent(err)}
	}
	if tasks := bl.cols.tasks; tasks.rows() > 0 {
		bl.buf.Reset()
		if err := tasks.encode(&bl.buf); err != nil {
			return fmt.Errorf("insert %d tasks: encode: %w", tasks.rows(), err)
		}
		if err := s.write.InsertFormat(ctx, "Native", insertInto("tasks_in", tasks.input), bytes.NewReader(bl.buf.Buf)); err != nil {
			return &writeError{fmt.Errorf("insert %d tasks: %w", tasks.rows(), err), permanent(err)}
		}
		if refs := tasks.references; refs.rows() > 0 {
			bl.buf.Reset()
			if err := refs.encode(&bl.buf, tasks); err != nil {
				return fmt.Errorf("insert %d payment references: encode: %w", refs.rows(), err)
			}
			if err := s.write.InsertFormat(ctx, "Native", insertInto("reference_tasks", refs.input), bytes.NewReader(bl.buf.Buf)); err != nil {
				return &writeError{fmt.Errorf("insert %d payment references: %w", refs.rows(), err), permanent(err)}
			}
		}
	}
	s.writer.written.Add(uint64(rows))
	bl.cols.reset()
	bl.size = 0
	return nil
}

// writeError is an error of an insert.
type writeError struct {
	err       error
	permanent bool
}

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// Permanent reports that ClickHouse will never take the batch.
func (e *writeError) Permanent() bool { return e.permanent }

// permanentCodes are exceptions that speak of the data and not of the server or
// its tables: everything else may heal, if only by somebody's hand.
var permanentCodes = map[int32]bool{
	6:   true, // CANNOT_PARSE_TEXT
	27:  true, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	53:  true, // TYPE_MISMATCH
	69:  true, // ARGUMENT_OUT_OF_BOUND
	117: true, // INCORRECT_DATA
	131: true, // TOO_LARGE_STRING_SIZE
	321: true, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	307: true, // TOO_MANY_BYTES
}

func permanent(err error) bool {
	var ex *clickhouse.Exception
	if errors.As(err, &ex) {
		return permanentCodes[ex.Code]
	}
	var he *clickhouse.HTTPError
	return errors.As(err, &he) && he.StatusCode == http.StatusRequestEntityTooLarge
}
