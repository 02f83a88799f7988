package app

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
)

// A query apart from the collector writes what operators do with a token that may
// operate, and with none that may only report.
func TestARemoteQueryWantsATokenThatMayOperate(t *testing.T) {
	keys, err := auth.OpenKeyFile(filepath.Join(t.TempDir(), "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	const admin = "an-admin-token-of-this-test"
	authenticator, err := auth.New(auth.Config{AdminToken: admin, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	token := func(scope auth.Scope) string {
		t.Helper()
		_, token, err := keys.Create(t.Context(), auth.KeySpec{Name: string(scope), Namespace: "default", Scopes: []auth.Scope{scope}})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	c, err := collector.New(collector.Config{GRPCAddr: "-", HTTPAddr: "127.0.0.1:0", Dir: t.TempDir()}, collector.Deps{Auth: collectorAuth{authenticator}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	event := timeline.Event{
		ID: timeline.DeriveID("test"), Type: timeline.CancelRequested, Task: timeline.Task{ID: "t"}, Run: 1, OccurredAt: time.Now().UTC(),
		Operator: &timeline.Operator{Actor: "somebody", Reason: "a test"},
	}
	for _, x := range []struct {
		name, token string
		may         bool
	}{
		{"operate", token(auth.ScopeOperate), true}, {"admin", admin, true}, {"ingest", token(auth.ScopeIngest), false}, {"agent", token(auth.ScopeAgent), false},
	} {
		w := newRemoteWriter("http://"+c.HTTPAddr().String(), x.token)
		err := w.WriteEvents(t.Context(), "default", []timeline.Event{event})
		w.client.CloseIdleConnections()
		if (err == nil) != x.may || err != nil && !strings.Contains(err.Error(), collector.ScopeOperate) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if l := c.Ledger(); l.Accepted != 2 || l.Refused != 2 {
		t.Errorf("ledger: %+v", l)
	}
}
