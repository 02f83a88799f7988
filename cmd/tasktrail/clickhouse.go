package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/store/embedded"
)

// newClickHouse is the child process that holds the embedded engine, so that a
// crash of the engine is a restart and not the end of the collector.
func newClickHouse() *cobra.Command {
	return &cobra.Command{
		Use: app.EngineCommand, Short: "Run the embedded engine (started by tasktrail up)", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return embedded.RunChild(c.Context(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
		},
	}
}
