package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/app/demo"
)

func newDemo() *cobra.Command {
	c := &cobra.Command{Use: "demo", Short: "Run demonstration tasks against a running collector", Args: cobra.NoArgs}
	load := settingsFlags(c, "data_dir", "collector_url", "token")
	namespace := c.Flags().String("namespace", "demo", "namespace of the demonstration's tasks")
	rate := c.Flags().Float64("rate", 1, "tasks a second")
	dies := c.Flags().Bool("dies", false, "be the worker that dies")
	_ = c.Flags().MarkHidden("dies")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *dies {
			return demo.Die(c.Context(), c.InOrStdin())
		}
		s, err := load()
		if err != nil {
			return err
		}
		if *rate <= 0 || *rate > 1000 {
			return usageError{fmt.Errorf("--rate: %v is not above 0 and at most 1000 tasks a second", *rate)}
		}
		collector, token, api := s.CollectorURL, s.Token, ""
		if collector == app.DefaultSettings().CollectorURL || token == "" {
			addrs, admin, err := waitForUp(c.Context(), s.DataDir)
			if err != nil {
				return err
			}
			if collector == app.DefaultSettings().CollectorURL {
				collector = "http://" + addrs.OTLPHTTP
				if !addrs.HTTPS { // its certificate need not be for this address
					api = "http://" + addrs.HTTP
				}
			}
			if token == "" {
				token = admin
			}
		}
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		return demo.Run(c.Context(), demo.Config{
			APIURL: api, Worker: []string{self, "demo", "--dies"}, CollectorURL: collector, Token: token, Namespace: *namespace, Rate: *rate,
			SpoolDir: filepath.Join(s.DataDir, "demo-spool"), Logger: newLogger(s),
		})
	}
	return c
}

// waitForUp waits until a tasktrail up has written where it can be reached; a
// demonstration is started beside it and may be the quicker one.
func waitForUp(ctx context.Context, dataDir string) (app.Addresses, string, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	for {
		addrs, token, err := app.Connection(dataDir)
		if err == nil && addrs.OTLPHTTP != "" {
			return addrs, token, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return addrs, "", err
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			return addrs, "", fmt.Errorf("no tasktrail up on %s within a minute: %w", dataDir, err)
		case <-ctx.Done():
			return addrs, "", ctx.Err()
		}
	}
}
