package store_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/storetest"
)

func TestInspectionOfAMigratedServer(t *testing.T) {
	s := open(t)
	in, err := s.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if in.Version == "" || in.Schema != in.Want || in.Want == 0 || in.Fault() != "" {
		t.Errorf("%+v: %s", in, in.Fault())
	}
	if in.Skew.Abs() > time.Minute {
		t.Errorf("the same machine's clock is %v off", in.Skew)
	}
	bare := openUnmigrated(t)
	if in, err := bare.Inspect(t.Context()); err != nil || in.Schema != 0 || in.Fault() != "" {
		t.Errorf("without tables: %+v, %v", in, err)
	}
}

func TestFaultsAreToldInASentence(t *testing.T) {
	good := store.Inspection{Version: "26.7.3.1", Schema: 1, Want: 1}
	for name, c := range map[string]struct {
		change func(*store.Inspection)
		want   string
	}{
		"nothing":            {func(*store.Inspection) {}, ""},
		"a fresh server":     {func(in *store.Inspection) { in.Schema = 0 }, ""},
		"too old":            {func(in *store.Inspection) { in.Version = "25.2.9.1" }, "upgrade the server"},
		"of another century": {func(in *store.Inspection) { in.Version = "18.16.1" }, "upgrade the server"},
		"a later schema":     {func(in *store.Inspection) { in.Schema = 7 }, "version 7"},
		"read-only":          {func(in *store.Inspection) { in.ReadOnly = true }, "may only read"},
		"without privileges": {func(in *store.Inspection) { in.Missing = []string{"INSERT", "CREATE TABLE"} }, "INSERT, CREATE TABLE"},
	} {
		in := good
		c.change(&in)
		if got := in.Fault(); c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A user that may only read, a wrong password and a schema from the future end a
// migration before it has done anything, with an error that will not heal.
func TestMigrateRefusesWhatItCannotUse(t *testing.T) {
	permanent := func(err error) bool {
		var p interface{ Permanent() bool }
		return errors.As(err, &p) && p.Permanent()
	}
	writer, reader := storetest.DSN(t)
	stranger, err := url.Parse(writer)
	if err != nil {
		t.Fatal(err)
	}
	stranger.User = url.UserPassword(stranger.User.Username(), "wrong")
	for name, dsn := range map[string]string{"may only read": reader, "refuses the user": stranger.String()} {
		s, err := store.Open(t.Context(), store.Config{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Migrate(t.Context()); err == nil || !permanent(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
