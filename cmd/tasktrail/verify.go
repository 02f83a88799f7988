package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// newVerify asks ClickHouse whether every source's events are all there: a number
// that is missing, and that no tombstone accounts for, is an event that was lost
// or has not arrived.
func newVerify() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Check that no event of any source is missing", Args: cobra.NoArgs}
	load := settingsFlags(c, "data_dir", "clickhouse_dsn", "collector_url", "token")
	output := c.Flags().StringP("output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		if *output != "table" && *output != "json" {
			return usageError{fmt.Errorf("--output: %q is not table or json", *output)}
		}
		st, err := openReader(c.Context(), s)
		if err != nil {
			return err
		}
		defer st.Close()
		ledgers, err := st.Verify(c.Context())
		if err != nil {
			return err
		}
		missing := uint64(0)
		for _, l := range ledgers {
			missing += l.MissingEvents
		}
		if *output == "json" {
			err = printJSON(c.OutOrStdout(), ledgers)
		} else {
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "SOURCE\tFROM\tTO\tEVENTS\tACCOUNTED FOR\tMISSING")
			for _, l := range ledgers {
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", l.SourceID, l.Lowest, l.Highest, l.Events, l.Excused, l.MissingEvents)
			}
			err = w.Flush()
		}
		if err == nil && missing > 0 {
			err = fmt.Errorf("%d events are missing that no tombstone accounts for", missing)
		}
		return err
	}
	return c
}
