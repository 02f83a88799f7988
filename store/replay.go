package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

const (
	// replayPart is how much of the past one statement sorts; replayTimeout bounds it.
	replayPart    = 24 * time.Hour
	replayTimeout = 10 * time.Minute
)

// Replay calls each with the stored events of some types within [from, to), of
// all namespaces, by occurred_at. A record is valid during the call alone; an
// event whose copies are not merged yet may come twice. It reads the whole
// timeline and is for the command line.
func (s *Store) Replay(ctx context.Context, from, to time.Time, types []timeline.Type, each func(*wire.Record) error) error {
	wanted := map[timeline.Type]bool{}
	// The four telemetry events of foreign SDKs stand under their own names.
	names := []string{"task.started", "task.completed", "task.failed", "task.retry"}
	for _, t := range types {
		wanted[t] = true
		names = append(names, t.String())
	}
	for from.Before(to) {
		end := from.Add(replayPart)
		if end.After(to) {
			end = to
		}
		if err := s.replay(ctx, from, end, names, wanted, each); err != nil {
			return fmt.Errorf("replay events: %w", err)
		}
		from = end
	}
	return nil
}

func (s *Store) replay(ctx context.Context, from, to time.Time, names []string, wanted map[timeline.Type]bool, each func(*wire.Record) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_bytes_before_external_sort": 512 << 20}))
	rows, err := s.read.Query(ctx, lines(
		"SELECT event_id, namespace, occurred_at, record FROM events",
		"WHERE occurred_at >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Nano({to:Int64}, 'UTC')",
		"AND multiSearchAny(record, {names:Array(String)}) ORDER BY occurred_at"),
		clickhouse.Named("from", nanos(from)), clickhouse.Named("to", nanos(to)), clickhouse.Named("names", names))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var (
		rec                    wire.Record
		id                     uuid.UUID
		namespace, text        string
		at                     time.Time
		record, namespaceBytes []byte
	)
	for rows.Next() {
		if err := rows.Scan(&id, &namespace, &at, &text); err != nil {
			return err
		}
		record = append(record[:0], text...)
		if err := wire.DecodeLogRecord(record, &rec); err != nil {
			var field *timeline.FieldError
			if !errors.As(err, &field) {
				return fmt.Errorf("event %s: %w", id, err)
			}
		}
		if !wanted[rec.Type] {
			continue
		}
		namespaceBytes = append(namespaceBytes[:0], namespace...)
		rec.ID, rec.Namespace, rec.OccurredAt = timeline.ID(id), namespaceBytes, at.UnixNano()
		if err := each(&rec); err != nil {
			return err
		}
	}
	return rows.Err()
}
