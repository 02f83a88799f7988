// Command tasktrail is the whole product in one binary, one subcommand a
// process. It parses what it is told, listens for signals, and leaves the work
// to package app; it holds no logic of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/app"
)

// version is set by the linker.
var version = "dev"

// The exit statuses: 0 done, 1 failed at its work, 2 wrong usage or settings.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a mistake in how the program was called or set up.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "tasktrail:", err)
	var command commandStatus
	if errors.As(err, &command) {
		os.Exit(command.code)
	}
	var usage usageError
	if errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "tasktrail",
		Short:         "Makes background tasks observable and self-healing",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
		Args:          cobra.NoArgs,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newUp(), newCollector(), newQuery(), newSidecar(), newDoctor(), newReady(), newMigrate(), newClickHouse(), newDemo(),
		newKeys(), newTasks(), newTimeline(), newFailed(), newBulk(), newErrors(), newRetry(), newCancel(), newTail(), newAlerts(), newAudit(), newVerify(), newRun())
	for _, c := range root.Commands() {
		asUsage(c)
	}
	return root
}

// asUsage makes a command's complaints about its arguments usage errors.
func asUsage(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
}

// ofSidecar are the settings of the sidecar, by their keys.
var ofSidecar = []string{
	"agent_addr", "agent_url", "agent_name", "agent_namespace", "agent_workers", "agent_max_tasks", "agent_max_attempts", "agent_retry_base",
	"agent_queue_max_bytes", "callback_allow", "callback_timeout", "exec_queue", "exec_timeout", "collector_url", "token", "data_dir",
}

// ofServices are all the others, and those they share.
func ofServices() (keys []string) {
	defaults := app.DefaultSettings()
	for _, f := range app.Fields(&defaults) {
		if i := slices.Index(ofSidecar, f.Key); i < 0 || i >= slices.Index(ofSidecar, "collector_url") {
			keys = append(keys, f.Key)
		}
	}
	return keys
}

// settingsFlags gives a command a flag for every setting, and returns how to
// read the settings when it runs: file, then environment, then flags. Its help
// shows those it uses, by their keys, beside where to find the file and how to
// log; all of them where none is named.
func settingsFlags(c *cobra.Command, uses ...string) func() (app.Settings, error) {
	uses = append(uses, "log_level", "log_format")
	defaults := app.DefaultSettings()
	path := c.Flags().String("config", os.Getenv("TASKTRAIL_CONFIG"), "YAML file with settings")
	for _, f := range app.Fields(&defaults) {
		if f.Lines {
			c.Flags().Var(&lines{}, f.Flag(), f.Usage+" ("+f.Env()+")")
		} else {
			c.Flags().String(f.Flag(), f.String(), f.Usage+" ("+f.Env()+")")
		}
		if f.IsBool() {
			c.Flags().Lookup(f.Flag()).NoOptDefVal = "true"
		}
		c.Flags().Lookup(f.Flag()).Hidden = len(uses) > 2 && !slices.Contains(uses, f.Key)
	}
	return func() (app.Settings, error) {
		s, err := app.Load(*path, os.Environ())
		if err != nil {
			return s, usageError{err}
		}
		for _, f := range app.Fields(&s) {
			if flag := c.Flags().Lookup(f.Flag()); flag.Changed {
				if err := f.Set(flag.Value.String()); err != nil {
					return s, usageError{fmt.Errorf("--%s: %w", f.Flag(), err)}
				}
			}
		}
		if err := s.Validate(); err != nil {
			return s, usageError{err}
		}
		return s, nil
	}
}

// newLogger writes to standard error in the form and from the level set.
func newLogger(s app.Settings) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // Validate knows the names
	opts := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}
