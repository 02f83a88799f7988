package store

import (
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var named = clickhouse.Named

// CountRows counts the stored rows of the tables, without dropping copies.
func (s *Store) CountRows(tb testing.TB) map[string]uint64 {
	tb.Helper()
	out := map[string]uint64{}
	for _, table := range []string{"events", "task_state", "outcomes", "dead_letters", "dead_letter_ids", "failures", "breakers", "retry_requests"} {
		var n uint64
		if err := s.read.QueryRow(tb.Context(), "SELECT count() FROM {table:Identifier}", named("table", table)).Scan(&n); err != nil {
			tb.Fatal(err)
		}
		out[table] = n
	}
	return out
}
