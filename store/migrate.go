package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// longestMigration bounds one statement of a migration: those that go through all
// events take a minute for some twenty million.
const longestMigration = 6 * time.Hour

// Migrate brings the database's tables to what this version needs, and creates
// the database where it is missing. It may run any number of times and in
// several processes at once: every statement creates what is not there, and a
// version that two of them record counts once. On a cluster the version is noted
// on the server that was asked, and another one may be asked to do it all again.
func (s *Store) Migrate(ctx context.Context) (err error) {
	opt, err := parseDSN(s.cfg.DSN)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	in, err := s.Inspect(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if fault := in.Fault(); fault != "" {
		return fmt.Errorf("migrate: %w", &faultError{fault})
	}
	if err := createDatabase(ctx, *opt, s.cfg.Cluster); err != nil {
		return fmt.Errorf("migrate: create the database: %w", err)
	}
	opt.ReadTimeout = longestMigration
	db := clickhouse.OpenDB(opt)
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if s.cfg.Cluster != "" {
		files = clustered{files, s.cfg.Cluster}
	}
	p, err := goose.NewProvider(goose.DialectClickHouse, db, files,
		goose.WithTableName("schema_version"), goose.WithDisableGlobalRegistry(true), goose.WithIsolateDDL(true))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, r := range done {
		s.cfg.Logger.Info("migrated ClickHouse", "to", r.Source.Version, "took", r.Duration.Round(time.Millisecond))
	}
	if err := retain(ctx, db, s.cfg.Retention, s.cfg.Cluster); err != nil {
		return fmt.Errorf("migrate: set the retention: %w", err)
	}
	return nil
}

// keep is where a table's engine says how long rows are kept: the first interval
// of its TTL. What follows is of other rows.
var keep = regexp.MustCompile(`^(.*? TTL )(.*?toInterval(?:Day|Second)\(\d+\).*?)(?: SETTINGS .*)?$`)

var interval = regexp.MustCompile(`toInterval(?:Day|Second)\(\d+\)`)

// retain makes every table keep rows as long as wanted. A table that does so
// already is left alone.
func retain(ctx context.Context, db *sql.DB, retention time.Duration, cluster string) error {
	want := fmt.Sprintf("toIntervalSecond(%d)", int64(retention/time.Second))
	if retention%(24*time.Hour) == 0 {
		want = fmt.Sprintf("toIntervalDay(%d)", int64(retention/(24*time.Hour)))
	}
	ttls, err := ttls(ctx, db)
	if err != nil {
		return err
	}
	for table, ttl := range ttls {
		at := interval.FindStringIndex(ttl)
		if at == nil || ttl[at[0]:at[1]] == want {
			continue
		}
		// Names and expressions are of our own migrations.
		if _, err := db.ExecContext(ctx, "ALTER TABLE "+table+clusterClause(cluster)+" MODIFY TTL "+ttl[:at[0]]+want+ttl[at[1]:]); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
	}
	return nil
}

// clusterClause follows the name of what a statement is about.
func clusterClause(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " ON CLUSTER '" + cluster + "'"
}

// ttls returns the TTL of each table that has one.
func ttls(ctx context.Context, db *sql.DB) (out map[string]string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	out = map[string]string{}
	for rows.Next() {
		var name, engine string
		if err := rows.Scan(&name, &engine); err != nil {
			return nil, err
		}
		if m := keep.FindStringSubmatch(engine); m != nil {
			out[name] = m[2]
		}
	}
	return out, rows.Err()
}

func createDatabase(ctx context.Context, opt clickhouse.Options, cluster string) (err error) {
	name := opt.Auth.Database
	if name == "" || name == "default" {
		return nil
	}
	opt.Auth.Database = "default"
	db := clickhouse.OpenDB(&opt)
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS {name:Identifier}"+clusterClause(cluster), clickhouse.Named("name", name))
	return err
}
