package storetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/pressly/goose/v3"

	"github.com/tasktrail/tasktrail/internal/proctest"
)

// inputs are the tables the writer inserts into; the first two store nothing, so
// what goes in is taken from copies.
var inputs = []string{"events_in", "tasks_in", "reference_tasks"}

func releaseFile(tb testing.TB, version int) string {
	return filepath.Join(proctest.Root(tb), "store", "testdata", "releases", fmt.Sprintf("%05d.txt", version))
}

// RecordRelease runs write on the database and keeps what it inserted, for
// [OldRelease] of later times: a line a table, its name and its rows in the Native
// format, in base64. The schema must be at that version.
func RecordRelease(tb testing.TB, dsn string, version int, write func()) {
	tb.Helper()
	for _, table := range inputs {
		ask(tb, dsn, "CREATE TABLE copy_"+table+" AS "+table+" ENGINE = Memory")
		ask(tb, dsn, "CREATE MATERIALIZED VIEW copy_"+table+"_mv TO copy_"+table+" AS SELECT * FROM "+table)
	}
	write()
	var out bytes.Buffer
	for _, table := range inputs {
		rows := ask(tb, dsn, "SELECT * FROM copy_"+table+" FORMAT Native")
		fmt.Fprintf(&out, "%s %s\n", table, base64.StdEncoding.EncodeToString(rows))
	}
	if err := os.MkdirAll(filepath.Dir(releaseFile(tb, version)), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(releaseFile(tb, version), out.Bytes(), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// OldRelease empties a database and gives it the schema of that version and the
// rows which its writer inserted, as if they had come in now: rows are kept for so
// long after that.
func OldRelease(tb testing.TB, dsn string, version int) {
	tb.Helper()
	opt, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	for _, tables := range []string{"engine = 'MaterializedView'", "1"} { // views first: they know their tables
		for name := range strings.Lines(string(ask(tb, dsn, "SELECT name FROM system.tables WHERE database = currentDatabase() AND "+tables))) {
			ask(tb, dsn, "DROP TABLE "+strings.TrimSpace(name)+" SYNC")
		}
	}
	db := clickhouse.OpenDB(opt)
	defer func() { _ = db.Close() }()
	p, err := goose.NewProvider(goose.DialectClickHouse, db, os.DirFS(filepath.Join(proctest.Root(tb), "store", "migrations")),
		goose.WithTableName("schema_version"), goose.WithDisableGlobalRegistry(true), goose.WithIsolateDDL(true))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := p.UpTo(context.WithoutCancel(tb.Context()), int64(version)); err != nil {
		tb.Fatal(err)
	}
	f, err := os.Open(releaseFile(tb, version))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		table, encoded, _ := strings.Cut(lines.Text(), " ")
		rows, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			tb.Fatalf("%s: %v", releaseFile(tb, version), err)
		}
		ask(tb, dsn, "CREATE TABLE old_"+table+" AS "+table+" ENGINE = Memory")
		ask(tb, dsn, "INSERT INTO old_"+table+" FORMAT Native\n"+string(rows))
		ask(tb, dsn, "INSERT INTO "+table+" SELECT * REPLACE(now64(9, 'UTC') AS ingested_at) FROM old_"+table)
		ask(tb, dsn, "DROP TABLE old_"+table+" SYNC")
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
}

// Releases are the versions of the schema of which it is kept what their writer
// inserted, the oldest first.
func Releases(tb testing.TB) []int {
	tb.Helper()
	files, err := os.ReadDir(filepath.Dir(releaseFile(tb, 1)))
	if err != nil {
		tb.Fatal(err)
	}
	var out []int
	for _, f := range files {
		n, err := strconv.Atoi(strings.TrimSuffix(f.Name(), ".txt"))
		if err != nil {
			tb.Fatalf("%s: %v", f.Name(), err)
		}
		out = append(out, n)
	}
	return out
}

// Migration is one that databases were made by.
type Migration struct {
	Version int
	// Path is its file, Sum the SHA-256 it had then, in hexadecimal.
	Path, Sum string
}

// Released lists them, the oldest first.
func Released(tb testing.TB) []Migration {
	tb.Helper()
	dir := filepath.Join(proctest.Root(tb), "store", "migrations")
	list, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		tb.Fatal(err)
	}
	var out []Migration
	for line := range strings.Lines(string(list)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		digits, _, _ := strings.Cut(name, "_")
		n, err := strconv.Atoi(digits)
		if err != nil {
			tb.Fatalf("SHA256SUMS: %q: %v", line, err)
		}
		out = append(out, Migration{n, filepath.Join(dir, name), sum})
	}
	return out
}

// ask sends a statement to the database of a DSN and returns the answer.
func ask(tb testing.TB, dsn, sql string) []byte {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	u.RawQuery = url.Values{"database": {strings.TrimPrefix(u.Path, "/")}}.Encode()
	u.Path = "/"
	res, err := http.Post(u.String(), "text/plain", strings.NewReader(sql))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		tb.Fatalf("%.200q: %s", sql, b)
	}
	return b
}
