package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

func newRetry() *cobra.Command {
	return operate("retry TASK", "Retry a failed or cancelled task: start its next run", "retry")
}

func newCancel() *cobra.Command {
	return operate("cancel TASK", "Ask for a task to be stopped", "cancel")
}

// operate is a command that does something to a task, with the reason on record.
func operate(use, short, verb string) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	reason := c.Flags().String("reason", "", "why, for the task's timeline")
	return apiCommand(c, func(ctx context.Context, a *api, args []string) error {
		var accepted struct {
			TaskID string `json:"task_id"`
			Run    int    `json:"run"`
			State  string `json:"state"`
		}
		body := map[string]string{}
		if *reason != "" {
			body["reason"] = *reason
		}
		if printed, err := a.call(ctx, "POST", "/tasks/"+url.PathEscape(args[0])+"/"+verb, nil, body, &accepted); printed || err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.out, "%s of %s accepted: run %d, %s\n", verb, accepted.TaskID, accepted.Run, accepted.State)
		return err
	})
}
