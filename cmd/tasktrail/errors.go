package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func newAlertsAcknowledge() *cobra.Command {
	ack := &cobra.Command{Use: "acknowledge ALERT", Aliases: []string{"ack"}, Short: "Take an alert up", Args: cobra.ExactArgs(1)}
	why := ack.Flags().String("why", "", "what is being done, for whoever looks next")
	return apiCommand(ack, func(ctx context.Context, a *api, args []string) error {
		var row readmodel.AlertRow
		if printed, err := a.call(ctx, "POST", "/alerts/"+url.PathEscape(args[0])+"/acknowledge", nil, map[string]string{"reason": *why}, &row); printed || err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.out, "acknowledged: %s\n", row.Title)
		return err
	})
}

func newErrors() *cobra.Command {
	c := &cobra.Command{Use: "errors", Short: "List errors by fingerprint", Args: cobra.NoArgs}
	query := listFlags(c, "status", "from", "to")
	for verb, short := range map[string]string{"resolve": "Say that an error is mended", "ignore": "Say that nobody need look at an error", "reopen": "Take back what was said of an error"} {
		sub := &cobra.Command{Use: verb + " FINGERPRINT", Short: short, Args: cobra.ExactArgs(1)}
		why := sub.Flags().String("why", "", "why, on record")
		c.AddCommand(apiCommand(sub, func(ctx context.Context, a *api, args []string) error {
			var out struct {
				Fingerprint string `json:"fingerprint"`
				Status      string `json:"status"`
			}
			if printed, err := a.call(ctx, "POST", "/errors/"+url.PathEscape(args[0])+"/"+verb, nil, map[string]string{"reason": *why}, &out); printed || err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.out, "%s is %s\n", out.Fingerprint, out.Status)
			return err
		}))
	}
	return apiCommand(c, func(ctx context.Context, a *api, _ []string) error {
		var page struct {
			Data []struct {
				Fingerprint string         `json:"fingerprint"`
				Status      string         `json:"status"`
				Count       int64          `json:"count"`
				DeadLetters int64          `json:"dead_letters"`
				LastSeen    time.Time      `json:"last_seen"`
				Types       []string       `json:"types"`
				Sample      timeline.Error `json:"sample"`
			} `json:"data"`
			Next string `json:"next_cursor"`
		}
		if printed, err := a.call(ctx, "GET", "/errors", query(), nil, &page); printed || err != nil {
			return err
		}
		w := a.table("FINGERPRINT\tSTATUS\tCOUNT\tDEAD LETTERS\tLAST SEEN\tTYPES\tERROR")
		for _, g := range page.Data {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\n", g.Fingerprint, g.Status, g.Count, g.DeadLetters, day(g.LastSeen), dash(strings.Join(g.Types, ",")), errorText(&g.Sample))
		}
		return errors.Join(w.Flush(), a.more(page.Next))
	})
}

// cutLine is the first line of a text, cut to what a table holds.
func cutLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	if r := []rune(line); len(r) > 60 {
		line = string(r[:59]) + "…"
	}
	return line
}
