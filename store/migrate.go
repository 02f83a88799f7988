package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the database's tables to what this version needs, and creates
// the database where it is missing. It may run any number of times and in
// several processes at once: every statement creates what is not there, and a
// version that two of them record counts once.
func (s *Store) Migrate(ctx context.Context) (err error) {
	opt, err := parseDSN(s.cfg.DSN)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := createDatabase(ctx, *opt); err != nil {
		return fmt.Errorf("migrate: create the database: %w", err)
	}
	opt.ReadTimeout = 5 * time.Minute
	db := clickhouse.OpenDB(opt)
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
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
	return nil
}

func createDatabase(ctx context.Context, opt clickhouse.Options) (err error) {
	name := opt.Auth.Database
	if name == "" || name == "default" {
		return nil
	}
	opt.Auth.Database = "default"
	db := clickhouse.OpenDB(&opt)
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS {name:Identifier}", clickhouse.Named("name", name))
	return err
}
