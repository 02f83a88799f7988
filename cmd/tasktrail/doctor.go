package main

import (
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/app"
)

// newDoctor looks at everything a process needs before, or while, it runs.
func newDoctor() *cobra.Command {
	c := &cobra.Command{
		Use: "doctor [up|collector|query]", Short: "Check settings, ports, disk, ClickHouse and Redis, and say what to do",
		Args: cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{string(app.RoleUp), string(app.RoleCollector), string(app.RoleQuery)},
	}
	load := settingsFlags(c)
	output := c.Flags().StringP("output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		if *output != "table" && *output != "json" {
			return usageError{fmt.Errorf("--output: %q is not table or json", *output)}
		}
		role := app.RoleUp
		if len(args) > 0 {
			role = app.Role(args[0])
		}
		found := app.Doctor(c.Context(), s, role)
		if *output == "json" {
			err = printJSON(c.OutOrStdout(), found)
		} else {
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, f := range found {
				fmt.Fprintf(w, "%s\t%s\t%s\n", f.Status, f.Check, f.Text)
			}
			err = w.Flush()
		}
		if err == nil && slices.ContainsFunc(found, func(f app.Finding) bool { return f.Status == app.FindingFault }) {
			err = usageError{fmt.Errorf("tasktrail %s would not start as it is set up", role)}
		}
		return err
	}
	return c
}
