package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// rankAudit is the stored rank of settings of the kind audit, which stand in a
// table of their own.
const rankAudit = 252

// rankOfRecord is rankOf for a whole record.
func rankOfRecord(rec *wire.Record) uint8 {
	if rec.Type == timeline.SettingChanged && string(rec.Setting.Kind) == timeline.SettingAudit {
		return rankAudit
	}
	return rankOf(rec.Type)
}

// Audit lists who changed what, the latest first.
func (s *Store) Audit(ctx context.Context, namespace string, f readmodel.AuditFilter, page readmodel.Page) (readmodel.List[readmodel.AuditRecord], error) {
	var none readmodel.List[readmodel.AuditRecord]
	after, order, args := keyset(page, "occurred_at", "toString(event_id)")
	if page.After != nil {
		// What the key is good for.
		compare := "<="
		if page.Backwards {
			compare = ">="
		}
		after += " AND occurred_at " + compare + " fromUnixTimestamp64Nano({after_at:Int64}, 'UTC')"
	}
	q := &filter{}
	q.within("occurred_at", "at", f.At)
	// The body stands in the record as it was written: a field and its value are a
	// part of its text.
	has := func(name, field string, values ...string) error {
		var parts []string
		for _, v := range values {
			b, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("list audit records: %w", err)
			}
			parts = append(parts, `"`+field+`":`+string(b))
		}
		if len(parts) > 0 {
			q.add("arrayExists(part -> position(record, part) > 0, {"+name+":Array(String)})", name, parts)
		}
		return nil
	}
	one := func(v string) []string {
		if v == "" {
			return nil
		}
		return []string{v}
	}
	for _, c := range []struct {
		field  string
		values []string
	}{{"actor", one(f.Actor)}, {"action", one(f.Action)}, {"target", one(f.Target)}, {"result", f.Results}} {
		if err := has(c.field, c.field, c.values...); err != nil {
			return none, err
		}
	}
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT event_id, ingested_at, record, namespace FROM audit WHERE namespace = {ns:String} AND "+q.sql()+" AND "+after,
		order, "LIMIT 1 BY event_id LIMIT {limit:UInt32}"),
		append(append(args, q.args...), clickhouse.Named("ns", namespace), clickhouse.Named("limit", limitOf(page)+1))...)
	if err != nil {
		return none, fmt.Errorf("list audit records: %w", err)
	}
	events, err := collectEvents(rows)
	if err != nil {
		return none, fmt.Errorf("list audit records: %w", err)
	}
	found := make([]readmodel.AuditRecord, 0, len(events))
	for i := range events {
		a := readmodel.AuditRecord{}
		if set := events[i].Setting; set != nil {
			if err := json.Unmarshal(set.Body, &a); err != nil {
				a.Details = map[string]string{"unreadable": err.Error()}
			}
		}
		a.ID, a.At, a.Namespace = events[i].ID, events[i].OccurredAt, events[i].Namespace
		found = append(found, a)
	}
	return finish(page, found, func(a *readmodel.AuditRecord) readmodel.Position {
		return readmodel.Position{At: a.At, ID: a.ID.String()}
	}), nil
}
