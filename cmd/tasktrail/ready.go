package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// newReady asks a process whether it is ready, for health checks of images that
// hold nothing else that could ask.
func newReady() *cobra.Command {
	c := &cobra.Command{Use: "ready URL", Short: "Ask a process at its /readyz whether it is ready", Args: cobra.ExactArgs(1)}
	timeout := c.Flags().Duration("timeout", 2*time.Second, "how long to wait for the answer")
	c.RunE = func(c *cobra.Command, args []string) error {
		req, err := http.NewRequestWithContext(c.Context(), http.MethodGet, args[0], nil)
		if err != nil {
			return usageError{err}
		}
		client := &http.Client{Timeout: *timeout}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s: %s", resp.Status, body)
		}
		return nil
	}
	return c
}
