package store

import (
	"cmp"
	"context"
	"io/fs"
	"testing"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// CountRows counts the stored rows of the tables, without dropping copies.
func (s *Store) CountRows(tb testing.TB) map[string]uint64 {
	tb.Helper()
	out := map[string]uint64{}
	for _, table := range []string{"events", "task_state", "outcomes", "outcome_marks", "outcome_minutes", "troubles", "open_tasks", "fingerprint_tasks", "task_times", "user_tasks", "reference_tasks", "letter_tasks", "dead_letters", "dead_letter_ids", "failures", "breakers", "requests", "ledger", "gaps"} {
		var n uint64
		if err := s.read.QueryRow(tb.Context(), "SELECT count() FROM {table:Identifier}", clickhouse.Named("table", table)).Scan(&n); err != nil {
			tb.Fatal(err)
		}
		out[table] = n
	}
	return out
}

// Drop drops the database.
func (s *Store) Drop(tb testing.TB) {
	opt, err := parseDSN(s.cfg.DSN)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.write.Exec(context.WithoutCancel(tb.Context()), "DROP DATABASE {name:Identifier} SYNC", clickhouse.Named("name", opt.Auth.Database)); err != nil {
		tb.Error(err)
	}
}

// Change runs a statement as the writer.
func (s *Store) Change(ctx context.Context, sql string) error { return s.write.Exec(ctx, sql) }

// DecidesAlike reports whether the key of two events orders them as
// timeline.CompareState does.
func DecidesAlike(a, b *timeline.Event) bool {
	return cmp.Compare(compareKeys(keyOf(a), keyOf(b)), 0) == cmp.Compare(timeline.CompareState(a, b), 0)
}

func keyOf(e *timeline.Event) chproto.UInt256 {
	rec := wire.Record{Type: e.Type, Run: e.Run, Attempt: e.Attempt, Attempts: e.Attempts, Seq: e.Seq}
	return decideKey(&rec, clamp32(e.Run), clamp32(e.Attempt), rankOf(e.Type))
}

func compareKeys(a, b chproto.UInt256) int {
	return cmp.Or(cmp.Compare(a.High.High, b.High.High), cmp.Compare(a.High.Low, b.High.Low), cmp.Compare(a.Low.High>>56, b.Low.High>>56))
}

// RanksRise reports whether two types are stored in their order.
func RanksRise(a, b uint8) bool {
	types := timeline.Types()
	x, y := types[int(a)%len(types)], types[int(b)%len(types)]
	return rankOf(x) != 0 && (x.Rank() < y.Rank()) == (rankOf(x) < rankOf(y))
}

// StaleSlots counts the slots without a rollup of their rows.
func (s *Store) StaleSlots(tb testing.TB, from time.Time) int {
	tb.Helper()
	stale, err := s.staleSlots(tb.Context(), from)
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for _, slots := range stale {
		n += len(slots)
	}
	return n
}

// StaleMinutes counts the minutes without a rollup of their rows.
func (s *Store) StaleMinutes(tb testing.TB, from time.Time) (n int) {
	tb.Helper()
	batches, _, err := s.staleMinutes(tb.Context(), from)
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range batches {
		n += len(b.minutes)
	}
	return n
}

// Optimize merges every table's parts.
func (s *Store) Optimize(tb testing.TB) {
	tb.Helper()
	for table := range s.CountRows(tb) {
		if err := s.write.Exec(tb.Context(), "OPTIMIZE TABLE {table:Identifier} FINAL", clickhouse.Named("table", table)); err != nil {
			tb.Fatal(err)
		}
	}
}

// TTLs returns what each table says of how long it keeps rows.
func (s *Store) TTLs(tb testing.TB) map[string]string {
	tb.Helper()
	opt, err := parseDSN(s.cfg.DSN)
	if err != nil {
		tb.Fatal(err)
	}
	db := clickhouse.OpenDB(opt)
	defer func() { _ = db.Close() }()
	out, err := ttls(tb.Context(), db)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// Migrations returns the migrations as they are run, by file.
func Migrations(tb testing.TB, cluster string) map[string]string {
	tb.Helper()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		tb.Fatal(err)
	}
	if cluster != "" {
		files = clustered{files, cluster}
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			tb.Fatal(err)
		}
		out[name] = string(text)
	}
	return out
}

// OnCluster is a statement's form for a cluster.
func OnCluster(statement, cluster string) ([]string, error) { return onCluster(statement, cluster) }

// Parse has the server parse a statement without running it.
func (s *Store) Parse(tb testing.TB, statement string) error {
	tb.Helper()
	return s.write.Exec(tb.Context(), "EXPLAIN AST "+statement)
}

// SeemOpen is how many tasks open_tasks knows no end of.
func (s *Store) SeemOpen(tb testing.TB) (n uint64) {
	tb.Helper()
	if err := s.read.QueryRow(tb.Context(), "SELECT count() FROM "+sqlOpenFolds("1"), clickhouse.Named("ns", "default")).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

// ForgetEnds drops from open_tasks what ended and is old, as its TTL does in time,
// whether or not it was merged with what came before.
func (s *Store) ForgetEnds(tb testing.TB) {
	tb.Helper()
	if err := s.write.Exec(tb.Context(), "ALTER TABLE open_tasks DELETE WHERE bitTest(top, 31) AND created_at < now() - INTERVAL 1 HOUR SETTINGS mutations_sync = 1"); err != nil {
		tb.Fatal(err)
	}
}
