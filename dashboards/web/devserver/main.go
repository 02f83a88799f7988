// Command devserver serves the real API over a store in memory, with tasks that
// live, for work on the UI and for its browser tests.
//
// It is not for production: nothing is kept, and its tokens are in this file.
package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/tasktrail/tasktrail/query"
	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/query/querytest"
)

// tokens are what the server knows; their text is their name.
type tokens map[string]auth.Principal

// Authenticate implements query.Authenticator.
func (t tokens) Authenticate(_ context.Context, token string) (auth.Principal, error) {
	p, ok := t[token]
	if !ok {
		return auth.Principal{}, auth.ErrUnauthenticated
	}
	return p, nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "where to listen; port 0 takes a free one")
	dir := flag.String("dir", "dist", "the built UI")
	var l load
	flag.IntVar(&l.tasks, "load", 0, "how many more tasks are active")
	flag.IntVar(&l.rate, "rate", 1000, "how many updates of them are published a second")
	flag.IntVar(&l.events, "events", 0, "how many events one more task has, which goes on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *addr, os.DirFS(*dir), &l); err != nil {
		fmt.Fprintln(os.Stderr, "devserver:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, addr string, ui fs.FS, l *load) error {
	w := &world{Store: querytest.NewStore(), broker: querytest.NewBroker()}
	now := time.Now()
	w.fill(now)
	l.fill(w, now)
	o := newOperators(w.Store, now)
	s, err := query.New(query.Config{
		Addr: addr, UI: ui, Version: "development",
		// Sessions outlive a restart, so that a test can see a page come back.
		SessionKey:   []byte("a key for development and tests only"),
		BulkInterval: 300 * time.Millisecond,
	}, query.Deps{
		Reader: w, Writer: w.Store, Claimer: w.Store, Subscriber: w.broker,
		Settings: w.Store, Audit: w.Store, Alerts: o, Channels: o, AlertSettings: o, Providers: o, Keys: o,
		RequeueSecret: func(namespace, queue, salt string) (string, error) {
			return "whsec_for-development-" + namespace + "-" + queue + "-" + salt, nil
		},
		Ready: map[string]query.ReadyFunc{"store": func(context.Context) error { return nil }},
		Auth: tokens{
			"admin":  {ID: "admin", Namespace: auth.AnyNamespace, Scopes: []auth.Scope{auth.ScopeAdmin}},
			"reader": {ID: "key:reader", Namespace: "default", Scopes: []auth.Scope{auth.ScopeReadAll}},
			"user":   {ID: "key:user", Namespace: "default", UserID: "u-17", Scopes: []auth.Scope{auth.ScopeRead}},
		},
	})
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	fmt.Printf("http://%s\n", s.Addr())
	var busy sync.WaitGroup
	busy.Go(func() { l.run(ctx, w) })
	w.live(ctx)
	busy.Wait()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return s.Stop(end)
}
