package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/agent/sidecar"
	"github.com/tasktrail/tasktrail/app"
)

func newSidecar() *cobra.Command {
	c := &cobra.Command{
		Use: "agent", Short: "Run the sidecar: tasks of programs in any language, over HTTP", Args: cobra.NoArgs,
		Long: "The sidecar executes tasks for programs in any language: POST /v1/tasks has it call the task's callback,\n" +
			"with retries, circuit breakers and a timeline. With --exec-queue it also runs the retries of `tasktrail run`.",
	}
	load := settingsFlags(c, "agent_addr", "agent_url", "agent_name", "agent_namespace", "agent_workers", "agent_max_tasks", "agent_max_attempts",
		"agent_retry_base", "agent_queue_max_bytes", "callback_allow", "callback_timeout", "exec_queue", "exec_timeout",
		"collector_url", "token", "data_dir")
	c.RunE = func(c *cobra.Command, _ []string) error {
		set, err := load()
		if err != nil {
			return err
		}
		log := newLogger(set)
		cfg, err := app.SidecarConfig(set, log)
		if err != nil {
			return usageError{err}
		}
		s, err := sidecar.New(cfg)
		if err != nil {
			return err
		}
		ctx := c.Context()
		if err = s.Start(ctx); err == nil {
			log.Info("the sidecar is up", "version", version, "api", s.Addr(), "collector", set.CollectorURL)
			select {
			case <-ctx.Done():
				log.Info("stopping: what runs may end, the rest goes on after the next start")
			case err = <-s.Failed():
			}
		}
		stopCtx, cancel := context.WithTimeout(context.Background(), app.DrainTimeout)
		defer cancel()
		return errors.Join(err, s.Close(stopCtx))
	}
	return c
}

// lines is the value of a flag that may be repeated: each time adds a line.
type lines struct{ text string }

func (l *lines) String() string { return l.text }
func (l *lines) Type() string   { return "string" }

func (l *lines) Set(s string) error {
	if l.text != "" {
		l.text += "\n"
	}
	l.text += s
	return nil
}
