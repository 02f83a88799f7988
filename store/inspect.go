package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// MinServerVersion is the oldest ClickHouse whose features the schema needs.
const MinServerVersion = "25.3"

// Inspection is what a ClickHouse server says of itself, for whoever sets it up.
type Inspection struct {
	Version string
	// Schema is the version of our tables there, 0 where there are none; Want is
	// the one of this program.
	Schema, Want int64
	// Skew is how far the server's clock is ahead of ours, as near as the answer's
	// time lets tell.
	Skew time.Duration
	// ReadOnly: the user may not write. Missing are the privileges it lacks, as far
	// as the server tells.
	ReadOnly bool
	Missing  []string
	// Free is the space on the server's disk with the least of it, in bytes.
	Free uint64
}

// needed are the privileges of the user that writes and migrates.
var needed = []string{"SELECT", "INSERT", "CREATE TABLE", "CREATE VIEW", "ALTER TABLE", "DROP TABLE"}

// Inspect asks the server. Its error says that it could not be asked, in a
// sentence.
func (s *Store) Inspect(ctx context.Context) (Inspection, error) {
	opt, err := parseDSN(s.cfg.DSN)
	if err != nil {
		return Inspection{}, err
	}
	database := opt.Auth.Database
	if database == "" {
		database = "default"
	}
	// The database may not be there yet, and to name one that is not is refused.
	opt.Auth.Database = "default"
	opt.DialTimeout = 5 * time.Second
	conn, err := clickhouse.Open(opt)
	if err != nil {
		return Inspection{}, fmt.Errorf("ClickHouse: %w", err)
	}
	in := Inspection{Want: schemaVersion()}
	began := time.Now()
	var at time.Time
	var readonly string
	if err := conn.QueryRow(ctx, "SELECT version(), now64(3), toString(getSetting('readonly'))").Scan(&in.Version, &at, &readonly); err != nil {
		return Inspection{}, errors.Join(reachable(err), conn.Close())
	}
	in.Skew = at.Sub(began.Add(time.Since(began) / 2)).Round(time.Millisecond)
	in.ReadOnly = readonly == "1"
	if err := conn.QueryRow(ctx, "SELECT min(free_space) FROM system.disks").Scan(&in.Free); err != nil {
		in.Free = 0 // not everybody may see it
	}
	var there uint64
	err = conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = {db:String} AND name = 'schema_version'", clickhouse.Named("db", database)).Scan(&there)
	if err == nil && there > 0 {
		err = conn.QueryRow(ctx, "SELECT max(version_id) FROM {db:Identifier}.schema_version WHERE is_applied = 1", clickhouse.Named("db", database)).Scan(&in.Schema)
	}
	if err != nil {
		return in, errors.Join(fmt.Errorf("read the schema's version: %w", reachable(err)), conn.Close())
	}
	for _, privilege := range needed {
		var granted uint8
		if err := conn.QueryRow(ctx, "CHECK GRANT "+privilege+" ON "+quoteIdentifier(database)+".*").Scan(&granted); err != nil {
			break // a server without users of its own, or one that does not know the statement
		}
		if granted == 0 {
			in.Missing = append(in.Missing, privilege)
		}
	}
	return in, conn.Close()
}

// Fault says in a sentence what keeps the server from being used, and how to mend
// it; empty where nothing does.
func (in Inspection) Fault() string {
	switch {
	case olderThan(in.Version, MinServerVersion):
		return fmt.Sprintf("ClickHouse is %s, and %s is the oldest that works: upgrade the server", in.Version, MinServerVersion)
	case in.Schema > in.Want:
		return fmt.Sprintf("the tables are of version %d and this program knows %d: run the program that made them, or a later one", in.Schema, in.Want)
	case in.ReadOnly:
		return "the user of clickhouse_dsn may only read (its profile sets readonly = 1): name one that may write"
	case len(in.Missing) > 0:
		return fmt.Sprintf("the user of clickhouse_dsn lacks %s: GRANT them on its database", strings.Join(in.Missing, ", "))
	}
	return ""
}

// faultError is a server that can't be used before somebody mends it.
type faultError struct{ fault string }

func (e *faultError) Error() string { return e.fault }

// Permanent reports that trying again changes nothing.
func (e *faultError) Permanent() bool { return true }

// reachable says in a sentence why a server did not answer as it should.
func reachable(err error) error {
	var ex *clickhouse.Exception
	if errors.As(err, &ex) && (ex.Code == 516 || ex.Code == 192 || ex.Code == 194) {
		return &faultError{"the server refuses the user or the password of clickhouse_dsn"}
	}
	var he *clickhouse.HTTPError
	if errors.As(err, &he) && (he.StatusCode == http.StatusUnauthorized || he.StatusCode == http.StatusForbidden) {
		return &faultError{"the server refuses the user or the password of clickhouse_dsn"}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("the server of clickhouse_dsn does not answer: %w", op)
	}
	return err
}

// olderThan compares versions by year and month.
func olderThan(version, least string) bool {
	v, l := yearMonth(version), yearMonth(least)
	return v[0] < l[0] || v[0] == l[0] && v[1] < l[1]
}

func yearMonth(version string) (out [2]int) {
	for i, part := range strings.SplitN(version, ".", 3) {
		if i < 2 {
			out[i], _ = strconv.Atoi(part)
		}
	}
	return out
}

func quoteIdentifier(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// schemaVersion is the version of the last migration.
func schemaVersion() (last int64) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return 0 // they are embedded
	}
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			last = max(last, n)
		}
	}
	return last
}
