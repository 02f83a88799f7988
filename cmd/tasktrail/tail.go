package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/timeline"
)

// maxLine bounds one line of the stream.
const maxLine = 4 << 20

func newTail() *cobra.Command {
	c := &cobra.Command{Use: "tail [TASK]", Short: "Follow a task, or all of them, live", Args: cobra.MaximumNArgs(1)}
	return apiCommand(c, func(ctx context.Context, a *api, args []string) error {
		topic := "tasks"
		if len(args) == 1 {
			topic = "task:" + args[0]
		}
		resp, err := a.request(ctx, "GET", "/stream", url.Values{"topics": {topic}}, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, maxLine)
		kind := ""
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				kind = value
			case "data":
				if err := a.show(kind, value); err != nil {
					return err
				}
			}
		}
		if ctx.Err() != nil {
			return nil // it was asked to stop
		}
		return errors.Join(errors.New("the stream ended"), lines.Err())
	})
}

// show prints one message of the stream.
func (a *api) show(kind, data string) error {
	if a.asJSON {
		_, err := fmt.Fprintln(a.out, data)
		return err
	}
	switch kind {
	case "update":
		var u struct {
			TaskID string           `json:"task_id"`
			Events []timeline.Event `json:"events"`
		}
		if err := json.Unmarshal([]byte(data), &u); err != nil {
			return fmt.Errorf("read an update: %w", err)
		}
		for i := range u.Events {
			e := &u.Events[i]
			fmt.Fprintf(a.out, "%s  %-40s  r%d a%d  %-24s %s\n", e.OccurredAt.UTC().Format("15:04:05.000"), u.TaskID, e.Run, e.Attempt, e.Type, what(e))
		}
	case "missed", "reset":
		fmt.Fprintf(a.out, "-- %s: %s\n", kind, data)
	}
	return nil
}
