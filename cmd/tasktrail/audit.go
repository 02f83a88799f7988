package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func newAudit() *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "Show who changed what, and what was refused", Args: cobra.NoArgs}
	query := listFlags(c, "actor", "action", "target", "result", "from", "to")
	return apiCommand(c, func(ctx context.Context, a *api, _ []string) error {
		var page struct {
			Data []readmodel.AuditRecord `json:"data"`
			Next string                  `json:"next_cursor"`
		}
		if printed, err := a.call(ctx, "GET", "/audit", query(), nil, &page); printed || err != nil {
			return err
		}
		w := a.table("TIME\tACTOR\tACTION\tTARGET\tRESULT\tREASON")
		for i := range page.Data {
			r := &page.Data[i]
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", day(r.At), r.Actor, r.Action, dash(r.Target), r.Result, dash(cutLine(r.Reason)))
		}
		return errors.Join(w.Flush(), a.more(page.Next))
	})
}
