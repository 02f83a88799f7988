package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/store"
)

func newMigrate() *cobra.Command {
	c := &cobra.Command{Use: "migrate", Short: "Bring the schema of a ClickHouse server up to date", Args: cobra.NoArgs}
	load := settingsFlags(c, "clickhouse_dsn", "clickhouse_cluster", "retention")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		if s.ClickHouseDSN == "" {
			return usageError{errors.New("clickhouse_dsn: name the server; tasktrail up migrates its own engine")}
		}
		log := newLogger(s)
		st, err := store.Open(c.Context(), store.Config{DSN: s.ClickHouseDSN, Cluster: s.ClickHouseCluster, Retention: s.Retention, Logger: log})
		if err != nil {
			return usageError{err}
		}
		if err := errors.Join(st.Migrate(c.Context()), st.Close()); err != nil {
			return err
		}
		log.Info("the schema is up to date")
		return nil
	}
	return c
}
