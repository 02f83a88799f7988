// Command fill makes a data directory of `tasktrail up` that holds a week of tasks,
// to measure reads on, and keeps it. Events go through the store's own way of
// writing into the embedded engine, as fast as it takes them. A directory that is
// filled already is kept, and gets a new last hour where its own has passed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/embedded"
	"github.com/tasktrail/tasktrail/store/storetest"
)

// fresh is how old the last hour of a filled directory may be before another is
// added.
const fresh = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	err := error(nil)
	if embedded.IsChild() {
		err = embedded.RunChild(ctx, logger)
	} else {
		err = fill(ctx, logger, os.Args[1:])
	}
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

func fill(ctx context.Context, logger *slog.Logger, args []string) (err error) {
	f := flag.NewFlagSet("fill", flag.ContinueOnError)
	data := f.String("data", "", "data directory, as that of `tasktrail up`; must not be in use")
	events := f.Int("events", 1_000_000, "about how many events")
	days := f.Int("days", 7, "over how many days")
	if f.Parse(args) != nil {
		return errUsage
	}
	if *data == "" || *events < 8 || *days < 1 {
		fmt.Fprintln(os.Stderr, "fill: want -data DIR, -events of 8 and more, -days of 1 and more: make fill EVENTS=1000000 DATA=/var/tmp/filled")
		return errUsage
	}
	is, found, err := storetest.ReadFilling(*data)
	if err != nil {
		return err
	}
	if _, err := os.Stat(*data); !found && err == nil {
		fmt.Fprintf(os.Stderr, "fill: %s is there and was not filled to its end by this command: remove it, or name another\n", *data)
		return errUsage
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := embedded.Start(ctx, embedded.ProcessConfig{
		Command: []string{self}, DataDir: filepath.Join(*data, "clickhouse"), Addr: "127.0.0.1:0", Logger: logger,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	s, err := store.Open(ctx, store.Config{DSN: p.DSN(), ReaderDSN: p.ReaderDSN(), WriteTimeout: 10 * time.Minute, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	began := time.Now()
	var n int
	switch {
	case found && time.Since(is.Now) < fresh:
	case found:
		if is, n, err = storetest.Refresh(ctx, s, is); err != nil {
			return err
		}
	default:
		is, n, err = storetest.Fill(ctx, s, storetest.Filling{Events: *events, Days: *days, Progress: progress(began)})
		if err != nil {
			return err
		}
	}
	// What ended over an hour ago is forgotten there as time goes on. A filling's time
	// is over from the first, so that ends go before they meet their beginnings.
	const forget = "ALTER TABLE open_tasks DELETE WHERE ingested_at < now() - INTERVAL 1 HOUR SETTINGS mutations_sync = 1"
	if err := exec(ctx, p, forget); err != nil {
		return err
	}
	// The rollups that a collector would have made as time went on.
	if err := s.Rollup(ctx, is.Now.AddDate(0, 0, -is.Days-1)); err != nil {
		return err
	}
	if err := is.WriteTo(*data); err != nil {
		return err
	}
	fmt.Printf("%s holds %d tasks, about %d events; %d events written in %v\n", *data, is.Tasks(), is.Events, n, time.Since(began).Round(time.Second))
	return nil
}

// exec runs a statement.
func exec(ctx context.Context, p *embedded.Process, sql string) error {
	c := p.Credentials()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.Addr()+"/", strings.NewReader(sql))
	if err != nil {
		return err
	}
	req.SetBasicAuth(c.User, c.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", sql, text)
	}
	return nil
}

// progress says twice a minute how far it is.
func progress(began time.Time) func(int) {
	last := began
	return func(tasks int) {
		if time.Since(last) < 30*time.Second {
			return
		}
		last = time.Now()
		fmt.Fprintf(os.Stderr, "fill: %d tasks, about %d events, after %v\n", tasks, 8*tasks, time.Since(began).Round(time.Second))
	}
}
