package store_test

import (
	"flag"
	"testing"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/storetest"
)

var record = flag.Int("record-release", 0, "the schema's version, which is the newest, of which to keep what the writer inserts (testdata/releases)")

// What every release's writer inserted is kept, so that later versions can be shown
// to read it: `go test ./store -run TestReleases -record-release N` on the commit of
// the release. Here a database of each is brought up to date and read.
func TestReleasesAreReadable(t *testing.T) {
	migrated := func(writer, reader string) *store.Store {
		s, err := store.Open(t.Context(), store.Config{DSN: writer, ReaderDSN: reader})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if *record > 0 {
		writer, reader := storetest.DSN(t)
		s := migrated(writer, reader)
		storetest.RecordRelease(t, writer, *record, func() { write(t, s, flatten(everyLife(t))...) })
		return
	}
	for _, m := range storetest.Released(t) {
		writer, reader := storetest.DSN(t)
		storetest.OldRelease(t, writer, m.Version)
		s := migrated(writer, reader)
		for name, life := range lives(t) {
			events, err := s.Timeline(t.Context(), everything, name)
			if err != nil || len(events) != len(life) {
				t.Errorf("version %d: %s has %d events (%v), want %d", m.Version, name, len(events), err, len(life))
			}
		}
	}
}
