package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// bulkAction is a bulk action as the API shows it.
type bulkAction struct {
	ID           string    `json:"id"`
	Action       string    `json:"action"`
	Status       string    `json:"status"`
	StatusReason string    `json:"status_reason"`
	CreatedBy    string    `json:"created_by"`
	CreatedAt    time.Time `json:"created_at"`
	Progress     struct {
		Total     int    `json:"total"`
		Waiting   int    `json:"waiting"`
		Running   int    `json:"running"`
		Succeeded int    `json:"succeeded"`
		Failed    int    `json:"failed"`
		Skipped   int    `json:"skipped"`
		Discarded int    `json:"discarded"`
		Note      string `json:"note"`
	} `json:"progress"`
}

// newBulkOrder retries or discards many dead letters: those named, or those that
// fit the flags.
func newBulkOrder(verb string) *cobra.Command {
	c := &cobra.Command{
		Use: verb + " [DEAD LETTER…]", Short: "Begin a bulk action: " + verb + " the dead letters named, or all that fit the flags",
		Example: "  tasktrail failed " + verb + " --type payment --provider bank --dry-run\n  tasktrail failed " + verb + " --fingerprint fp1:0011223344556677 --why 'deployed the mend'",
	}
	for _, n := range letterFilters {
		filterFlag(c, n)
	}
	why := c.Flags().String("why", "", "why, for the tasks' timelines")
	dryRun := c.Flags().Bool("dry-run", false, "say what would be done and do nothing")
	rate := c.Flags().Float64("rate", 0, "how many a second; 10 where not said")
	canary := 0
	if verb == "retry" {
		c.Flags().IntVar(&canary, "canary", 0, "act on so many first, and wait for their outcome")
	}
	return apiCommand(c, func(ctx context.Context, a *api, args []string) error {
		filter := map[string]string{}
		for _, n := range letterFilters {
			if v, _ := c.Flags().GetString(strings.ReplaceAll(n, "_", "-")); v != "" {
				filter[n] = v
			}
		}
		body := map[string]any{}
		switch {
		case (len(args) > 0) == (len(filter) > 0):
			return usageError{errors.New("name dead letters, or say by a flag such as --type which; one of the two")}
		case len(args) > 0:
			body["ids"] = args
		default:
			body["filter"] = filter
		}
		for name, v := range map[string]any{"reason": *why, "dry_run": *dryRun, "rate_per_second": *rate, "canary": canary} {
			if v != "" && v != false && v != 0.0 && v != 0 {
				body[name] = v
			}
		}
		if *dryRun {
			return a.dryRun(ctx, verb, body)
		}
		var b bulkAction
		if printed, err := a.call(ctx, "POST", "/failed-tasks/bulk-"+verb, nil, body, &b); printed || err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.out, "%s of %d dead letters accepted\nfollow it: tasktrail bulk %s\n", verb, b.Progress.Total, b.ID)
		return err
	})
}

// dryRun prints what a bulk action would be about.
func (a *api) dryRun(ctx context.Context, verb string, body any) error {
	type group struct {
		Key    string `json:"key"`
		Count  int    `json:"count"`
		Sample string `json:"sample"`
	}
	var s struct {
		Total          int     `json:"total"`
		NotReplayable  int     `json:"not_replayable"`
		NotRequeueable int     `json:"not_requeueable"`
		ByFingerprint  []group `json:"by_fingerprint"`
		ByType         []group `json:"by_type"`
		ByReason       []group `json:"by_reason"`
		ByAge          []group `json:"by_age"`
	}
	if printed, err := a.call(ctx, "POST", "/failed-tasks/bulk-"+verb, nil, body, &s); printed || err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%d dead letters would be worked on; %d of them cannot be retried\n\n", s.Total, s.NotReplayable+s.NotRequeueable)
	w := a.table("BY\tWHAT\tCOUNT\tSAMPLE")
	for _, by := range []struct {
		name   string
		groups []group
	}{{"fingerprint", s.ByFingerprint}, {"type", s.ByType}, {"reason", s.ByReason}, {"age", s.ByAge}} {
		for _, g := range by.groups {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", by.name, dash(g.Key), g.Count, cutLine(g.Sample))
		}
	}
	return w.Flush()
}

func newBulk() *cobra.Command {
	c := &cobra.Command{Use: "bulk [ID]", Short: "List bulk actions, or show one", Args: cobra.MaximumNArgs(1)}
	query := listFlags(c, "status")
	for verb, short := range map[string]string{"pause": "Let a bulk action rest", "resume": "Go on with a bulk action", "abort": "End a bulk action"} {
		sub := &cobra.Command{Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1)}
		why := sub.Flags().String("why", "", "why, on record")
		c.AddCommand(apiCommand(sub, func(ctx context.Context, a *api, args []string) error {
			var b bulkAction
			if printed, err := a.call(ctx, "POST", "/bulk/"+url.PathEscape(args[0])+"/"+verb, nil, map[string]string{"reason": *why}, &b); printed || err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.out, "bulk action %s is %s\n", b.ID, b.Status)
			return err
		}))
	}
	return apiCommand(c, func(ctx context.Context, a *api, args []string) error {
		var page struct {
			Data []bulkAction `json:"data"`
			Next string       `json:"next_cursor"`
		}
		if len(args) == 1 {
			var one bulkAction
			if printed, err := a.call(ctx, "GET", "/bulk/"+url.PathEscape(args[0]), nil, nil, &one); printed || err != nil {
				return err
			}
			page.Data = []bulkAction{one}
		} else if printed, err := a.call(ctx, "GET", "/bulk", query(), nil, &page); printed || err != nil {
			return err
		}
		w := a.table("BULK ACTION\tACTION\tSTATUS\tTOTAL\tWAITING\tRUNNING\tSUCCEEDED\tFAILED\tSKIPPED\tDISCARDED\tBY\tCREATED\tNOTE")
		for _, b := range page.Data {
			p := b.Progress
			note := b.StatusReason
			if p.Note != "" {
				note = p.Note
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", b.ID, b.Action, b.Status, p.Total, p.Waiting, p.Running,
				p.Succeeded, p.Failed, p.Skipped, p.Discarded, b.CreatedBy, day(b.CreatedAt), dash(cutLine(note)))
		}
		return errors.Join(w.Flush(), a.more(page.Next))
	})
}
