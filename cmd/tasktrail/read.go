package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/timeline"
)

// listFlags are the filters of a list: each flag is the query parameter of its
// name.
func listFlags(c *cobra.Command, names ...string) func() url.Values {
	for _, n := range names {
		filterFlag(c, n)
	}
	limit := c.Flags().Int("limit", 50, "how many rows, 1 to 200")
	cursor := c.Flags().String("cursor", "", "go on from the cursor of the page before")
	return func() url.Values {
		q := url.Values{"limit": {strconv.Itoa(*limit)}}
		for _, n := range names {
			if v, _ := c.Flags().GetString(strings.ReplaceAll(n, "_", "-")); v != "" {
				q.Set(n, v)
			}
		}
		if *cursor != "" {
			q.Set("cursor", *cursor)
		}
		return q
	}
}

// filterFlag adds the flag of a query parameter.
func filterFlag(c *cobra.Command, name string) {
	help, known := map[string]string{
		"from": "at this time or later, such as 2026-01-31T12:00:00Z", "to": "before this time",
		"text": "text to look for", "error": "text to look for in the error's message", "min_attempts": "at least so many attempts",
		"min_duration": "took at least this long, such as 90s", "max_duration": "took at most this long",
		"acknowledged": "true or false: whether somebody took it up", "silenced": "true or false: whether a silence holds it back",
	}[name]
	if !known {
		help = "only this " + strings.ReplaceAll(name, "_", " ") + "; several separated by commas"
	}
	c.Flags().String(strings.ReplaceAll(name, "_", "-"), "", help)
}

func (a *api) table(header string) *tabwriter.Writer {
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, header)
	return w
}

func (a *api) more(next string) error {
	if next == "" {
		return nil
	}
	_, err := fmt.Fprintf(a.out, "\nmore: --cursor %s\n", next)
	return err
}

func newTasks() *cobra.Command {
	c := &cobra.Command{Use: "tasks", Short: "List tasks", Args: cobra.NoArgs}
	query := listFlags(c, "state", "type", "queue", "agent", "provider", "user_id", "payment_reference", "severity", "reason", "fingerprint", "trace_id", "text", "error", "min_attempts", "min_duration", "max_duration", "from", "to")
	active := c.Flags().Bool("active", false, "only tasks that have not ended")
	return apiCommand(c, func(ctx context.Context, a *api, _ []string) error {
		q := query()
		if *active {
			q.Set("active", "true")
		}
		var page struct {
			Data []timeline.Snapshot `json:"data"`
			Next string              `json:"next_cursor"`
		}
		if printed, err := a.call(ctx, "GET", "/tasks", q, nil, &page); printed || err != nil {
			return err
		}
		w := a.table("TASK\tTYPE\tQUEUE\tSTATE\tRUN\tATTEMPT\tUPDATED\tERROR")
		for _, s := range page.Data {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", s.Task.ID, dash(s.Task.Type), dash(s.Queue), s.State, s.Run, s.Attempt,
				day(s.UpdatedAt), errorText(s.Error))
		}
		return errors.Join(w.Flush(), a.more(page.Next))
	})
}

func newTimeline() *cobra.Command {
	c := &cobra.Command{Use: "timeline TASK", Short: "Show every event of a task", Args: cobra.ExactArgs(1)}
	return apiCommand(c, func(ctx context.Context, a *api, args []string) error {
		var page struct {
			Data []timeline.Event `json:"data"`
		}
		if printed, err := a.call(ctx, "GET", "/tasks/"+url.PathEscape(args[0])+"/timeline", nil, nil, &page); printed || err != nil {
			return err
		}
		w := a.table("TIME\tRUN\tATTEMPT\tEVENT\tWHAT")
		for i := range page.Data {
			e := &page.Data[i]
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", e.OccurredAt.UTC().Format("15:04:05.000"), e.Run, number(e.Attempt), e.Type, what(e))
		}
		return w.Flush()
	})
}

// letterFilters select dead letters, in a list and for a bulk action.
var letterFilters = []string{"severity", "reason", "type", "queue", "agent", "provider", "fingerprint", "user_id", "task_id", "trace_id", "text", "min_attempts", "min_duration", "max_duration", "from", "to"}

func newFailed() *cobra.Command {
	c := &cobra.Command{Use: "failed", Short: "List dead letters; retry or discard many of them", Args: cobra.NoArgs}
	c.AddCommand(newBulkOrder("retry"), newBulkOrder("discard"))
	query := listFlags(c, append([]string{"status"}, letterFilters...)...)
	return apiCommand(c, func(ctx context.Context, a *api, _ []string) error {
		var page struct {
			Data []timeline.DeadLetter `json:"data"`
			Next string                `json:"next_cursor"`
		}
		if printed, err := a.call(ctx, "GET", "/failed-tasks", query(), nil, &page); printed || err != nil {
			return err
		}
		w := a.table("DEAD LETTER\tTASK\tTYPE\tRUN\tSTATUS\tSEVERITY\tREASON\tCREATED\tERROR")
		for _, d := range page.Data {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Task.ID, dash(d.Task.Type), d.Run, d.Status, d.AlertSeverity,
				d.Reason, day(d.CreatedAt), errorText(d.Error))
		}
		return errors.Join(w.Flush(), a.more(page.Next))
	})
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func errorText(e *timeline.Error) string {
	if e == nil {
		return "-"
	}
	return e.Kind + ": " + cutLine(e.Message)
}

// what says in a few words what is worth knowing of an event.
func what(e *timeline.Event) string {
	var parts []string
	if e.Duration > 0 {
		parts = append(parts, e.Duration.Duration().Round(time.Millisecond).String())
	}
	if r := e.Retry; r != nil {
		parts = append(parts, fmt.Sprintf("attempt %d in %v (%s)", r.NextAttempt, r.Delay.Duration().Round(time.Millisecond), r.Reason))
	}
	if e.Reason != "" {
		parts = append(parts, string(e.Reason))
	}
	if b := e.Breaker; b != nil && b.State != timeline.BreakerClosed {
		parts = append(parts, fmt.Sprintf("breaker of %s %s %s", b.Provider, b.State, b.Why))
	}
	if o := e.Operator; o != nil && o.Actor != "" {
		parts = append(parts, "by "+o.Actor, o.Reason)
	}
	if e.Error != nil {
		parts = append(parts, errorText(e.Error))
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}
