package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/alerting"
	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/embedded"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func newAlerts() *cobra.Command {
	c := &cobra.Command{Use: "alerts", Short: "List alerts, their channels and rules; try rules on the past", Args: cobra.NoArgs}
	c.AddCommand(newAlertsList(), newAlertsAcknowledge(), newAlertsCheck(), newAlertsTest(), newAlertsChannels(), newAlertsRules())
	return c
}

func newAlertsList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List alerts", Args: cobra.NoArgs}
	query := listFlags(c, "state", "severity", "rule", "type", "queue", "agent", "provider", "text")
	return apiCommand(c, func(ctx context.Context, a *api, _ []string) error {
		var page struct {
			Data []readmodel.AlertRow `json:"data"`
			Next string               `json:"next_cursor"`
		}
		if printed, err := a.call(ctx, "GET", "/alerts", query(), nil, &page); printed || err != nil {
			return err
		}
		w := a.table("ALERT\tSTATE\tSEVERITY\tRULE\tSTARTED\tTAKEN ON BY\tTITLE")
		for _, r := range page.Data {
			by := "-"
			if r.Acknowledged != nil {
				by = r.Acknowledged.By
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.State, r.Severity, r.Rule, day(r.StartsAt), by, r.Title)
		}
		return errors.Join(w.Flush(), a.more(page.Next))
	})
}

// readRules reads a file of rules; what is wrong with it is wrong usage.
func readRules(path string) (*rule.File, int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, usageError{err}
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, rule.MaxFileBytes+1))
	if err != nil {
		return nil, 0, usageError{err}
	}
	file, channels, _, err := alerting.ParseFile(b)
	if err != nil {
		return nil, 0, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return file, len(channels), nil
}

func newAlertsCheck() *cobra.Command {
	c := &cobra.Command{Use: "check FILE", Short: "Check a file of alert rules, without a running process", Args: cobra.ExactArgs(1)}
	c.RunE = func(c *cobra.Command, args []string) error {
		f, channels, err := readRules(args[0])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d rules, %d channels\n", args[0], len(f.Rules), channels)
		return err
	}
	return c
}

// newAlertsTest says when a file's rules would have fired, over what ClickHouse
// keeps.
func newAlertsTest() *cobra.Command {
	c := &cobra.Command{Use: "test FILE", Short: "Say when alert rules would have fired", Args: cobra.ExactArgs(1)}
	load := settingsFlags(c, "data_dir", "clickhouse_dsn", "clickhouse_cluster")
	since := c.Flags().String("since", "7d", "how far back, such as 90m, 24h or 7d")
	output := c.Flags().StringP("output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		back, err := rule.ParseDuration(*since)
		if err != nil || back <= 0 || back > 366*24*time.Hour {
			return usageError{fmt.Errorf("--since: %q is not a duration up to 366d, such as 90m, 24h or 7d", *since)}
		}
		if *output != "table" && *output != "json" {
			return usageError{fmt.Errorf("--output: %q is not table or json", *output)}
		}
		f, _, err := readRules(args[0])
		if err != nil {
			return err
		}
		// What is about this moment can't be tried; the others can.
		var now []string
		rules := slices.DeleteFunc(f.Rules, func(r rule.Rule) bool {
			if r.Kind == rule.StalledIngest {
				now = append(now, r.Name)
			}
			return r.Kind == rule.StalledIngest
		})
		st, err := openReader(c.Context(), s)
		if err != nil {
			return err
		}
		defer func() { _ = st.Close() }()
		to := time.Now()
		res, err := app.Replay(c.Context(), st, rules, to.Add(-back), to)
		if err != nil {
			return err
		}
		for _, name := range now {
			fmt.Fprintf(c.ErrOrStderr(), "rule %s: %v\n", name, rule.ErrNotReplayable)
		}
		if *output == "json" {
			return printJSON(c.OutOrStdout(), res)
		}
		return printReplay(c.OutOrStdout(), rules, res, back)
	}
	return c
}

func printReplay(out io.Writer, rules []rule.Rule, res *rule.Result, back time.Duration) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tSEVERITY\tFIRED\tENDED\tLASTED\tWHAT")
	fired := map[string]int{}
	for _, f := range res.Firings {
		fired[f.Alert.Rule]++
		ended, lasted := "still firing", time.Since(f.FiredAt)
		if f.Alert.State == timeline.AlertResolved {
			ended, lasted = day(f.EndedAt), f.EndedAt.Sub(f.FiredAt)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Alert.Rule, f.Alert.Severity, day(f.FiredAt), ended, lasted.Round(time.Second), f.Alert.Title+": "+f.Alert.Text)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, r := range rules {
		fmt.Fprintf(out, "%s: would have fired %d times in %s", r.Name, fired[r.Name], rule.FormatDuration(back))
		if n := res.Held[r.Name]; n > 0 {
			fmt.Fprintf(out, ", and held %d times for less than %s", n, rule.FormatDuration(r.For))
		}
		fmt.Fprintln(out)
	}
	_, err := fmt.Fprintf(out, "%d events looked at\n", res.Events)
	return err
}

// openReader opens the store for reading: the server that is named, or the
// engine of the tasktrail up that runs on the data directory.
func openReader(ctx context.Context, s app.Settings) (*store.Store, error) {
	if s.ClickHouseDSN == "" {
		addrs, _, err := app.Connection(s.DataDir)
		if err != nil {
			return nil, usageError{fmt.Errorf("%w; or set clickhouse_dsn", err)}
		}
		creds, err := embedded.LoadCredentials(filepath.Join(s.DataDir, "clickhouse"))
		if err != nil {
			return nil, err
		}
		s.ClickHouseDSN = creds.ReaderDSN(addrs.ClickHouse)
	}
	st, err := store.Open(ctx, store.Config{DSN: s.ClickHouseDSN, Cluster: s.ClickHouseCluster, Logger: newLogger(s)})
	if err != nil {
		return nil, usageError{err}
	}
	return st, nil
}
