package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/app"
)

func newUp() *cobra.Command {
	return service("up", "Run everything but the agents on this machine", app.RoleUp)
}

func newCollector() *cobra.Command {
	return service("collector", "Run a collector: receivers, log, sinks, alerting", app.RoleCollector)
}

func newQuery() *cobra.Command {
	return service("query", "Run the query service: API, live updates, UI", app.RoleQuery)
}

// service is a command that runs parts until it is told to stop.
func service(use, short string, role app.Role) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	load := settingsFlags(c, ofServices()...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		return run(c.Context(), s, role, newLogger(s))
	}
	return c
}

// run starts the parts, waits for the signal or for a part that fails, and stops
// them within the time that draining may take.
func run(ctx context.Context, s app.Settings, role app.Role, log *slog.Logger) error {
	a, err := app.New(s, role, version, log)
	if err != nil {
		return usageError{err}
	}
	switch err = a.Start(ctx); {
	case ctx.Err() != nil:
		// Told to stop before it was up: that it is not up is no failure.
		log.Info("stopping before everything was started", "outcome", err)
		err = nil
	case err != nil:
		// What keeps it from starting is for whoever set it up to mend.
		err = usageError{err}
	default:
		defer reloadOnHangup(a)()
		log.Info("tasktrail is up", "role", role, "version", version, "api", a.Addresses().HTTP, "otlp_http", a.Addresses().OTLPHTTP)
		select {
		case <-ctx.Done():
			log.Info("stopping: receivers stop, the log is flushed, sinks finish")
		case err = <-a.Failed():
		}
	}
	stopCtx, cancel := context.WithTimeout(context.Background(), app.DrainTimeout)
	defer cancel()
	return errors.Join(err, a.Stop(stopCtx))
}

// reloadOnHangup reads the alert rules again on each SIGHUP, until the returned
// function is called. What is wrong with them stands in the log.
func reloadOnHangup(a *app.App) (stop func()) {
	hangup, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer close(done)
		for range hangup {
			_ = a.Reload() // it says what is wrong
		}
	}()
	return func() { signal.Stop(hangup); close(hangup); <-done }
}
