package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/store"
)

// accounts is what verify found: what stands in ClickHouse by source, and what
// each collector says of what it accepted.
type accounts struct {
	Sources    []store.SourceLedger        `json:"sources"`
	Collectors map[string]collector.Ledger `json:"collectors"`
}

// newVerify draws the balance: every number of every source stands in ClickHouse
// or is accounted for by a tombstone, and at every collector accepted = written +
// queued + set aside + skipped, for each sink.
func newVerify() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Check that no event is missing: accepted = written + queued + refused", Args: cobra.NoArgs}
	load := settingsFlags(c, "data_dir", "clickhouse_dsn", "token")
	urls := c.Flags().StringSlice("collector", nil, "OTLP/HTTP address of a collector; repeat it for each (default: that of the data directory)")
	known := c.Flags().Uint64("known-damaged", 0, "spoiled frames of a collector's log that are known: so many are no failure")
	output := c.Flags().StringP("output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		if *output != "table" && *output != "json" {
			return usageError{fmt.Errorf("--output: %q is not table or json", *output)}
		}
		if err := localDefaults(&s, urls); err != nil {
			return err
		}
		found, err := readAccounts(c.Context(), s, *urls)
		if err != nil {
			return err
		}
		if *output == "json" {
			err = printJSON(c.OutOrStdout(), found)
		} else {
			err = found.print(c.OutOrStdout())
		}
		return errors.Join(err, found.balance(*known))
	}
	return c
}

// localDefaults fills in what the data directory of a running process tells.
func localDefaults(s *app.Settings, urls *[]string) error {
	if s.ClickHouseDSN != "" && (len(*urls) == 0 || s.Token != "") {
		return nil
	}
	addrs, token, err := app.Connection(s.DataDir)
	if err != nil {
		return usageError{fmt.Errorf("%w; or set clickhouse_dsn, token and --collector", err)}
	}
	if s.Token == "" {
		s.Token = token
	}
	if len(*urls) == 0 && addrs.OTLPHTTP != "" {
		*urls = []string{"http://" + addrs.OTLPHTTP}
	}
	return nil
}

func readAccounts(ctx context.Context, s app.Settings, urls []string) (*accounts, error) {
	found := &accounts{Collectors: map[string]collector.Ledger{}}
	for _, url := range urls {
		l, err := app.CollectorLedger(ctx, url, s.Token)
		if err != nil {
			return nil, err
		}
		found.Collectors[url] = l
	}
	st, err := openReader(ctx, s)
	if err != nil {
		return nil, err
	}
	if found.Sources, err = st.Verify(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return found, st.Close()
}

func (a *accounts) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if len(a.Collectors) > 0 {
		fmt.Fprintln(w, "COLLECTOR\tSINK\tACCEPTED\tWRITTEN\tQUEUED\tSET ASIDE\tSKIPPED\tREFUSED AT THE DOOR")
		for url, l := range a.Collectors {
			for _, s := range l.Sinks {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", url, s.Name, l.Accepted, s.Written, s.Queued, s.SetAside, s.Skipped, l.Refused)
			}
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "SOURCE\tFROM\tTO\tEVENTS\tACCOUNTED FOR\tMISSING")
	for _, l := range a.Sources {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", l.SourceID, l.Lowest, l.Highest, l.Events, l.Excused, l.MissingEvents)
	}
	return w.Flush()
}

// balance is nil where everything adds up. What is queued accounts for what a
// source misses in ClickHouse so far, as long as there is as much of it.
func (a *accounts) balance(knownDamaged uint64) error {
	var errs []error
	missing, queued := uint64(0), uint64(0)
	for url, l := range a.Collectors {
		for sink, n := range l.Unbalanced() {
			errs = append(errs, fmt.Errorf("collector %s: the accounts of %s are %d records short", url, sink, n))
		}
		if l.Damaged > knownDamaged {
			// What was lost at the end of a source's numbers is missed by nothing else.
			errs = append(errs, fmt.Errorf("collector %s: the disk has spoiled %d frames of its log: the events in them are lost (--known-damaged %[2]d takes note of it)", url, l.Damaged))
		}
		for _, s := range l.Sinks {
			if s.Name == "clickhouse" {
				queued += s.Queued
			}
		}
	}
	for _, l := range a.Sources {
		missing += l.MissingEvents
	}
	if missing > queued {
		errs = append(errs, fmt.Errorf("%d events are missing that neither a tombstone nor the %d queued ones account for", missing, queued))
	}
	return errors.Join(errs...)
}
