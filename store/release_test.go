package store_test

import (
	"flag"
	"testing"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/storetest"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
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
		storetest.RecordRelease(t, writer, *record, func() { write(t, s, append(flatten(everyLife(t)), audited(t, 3)...)...) })
		return
	}
	for _, version := range storetest.Releases(t) {
		writer, reader := storetest.DSN(t)
		storetest.OldRelease(t, writer, version)
		s := migrated(writer, reader)
		for name, life := range lives(t) {
			events, err := s.Timeline(t.Context(), everything, name)
			if err != nil || len(events) != len(life) {
				t.Errorf("version %d: %s has %d events (%v), want %d", version, name, len(events), err, len(life))
			}
		}
		if version < 3 {
			continue // its tasks have no payment, and there was no audit trail
		}
		paid, err := s.Tasks(t.Context(), everything, readmodel.TaskFilter{PaymentReference: "INV-7"}, readmodel.Page{Limit: 100})
		if err != nil || len(paid.Rows) != len(lives(t)) {
			t.Errorf("version %d: %d tasks of the payment (%v), want %d", version, len(paid.Rows), err, len(lives(t)))
		}
		trail, err := s.Audit(t.Context(), "default", readmodel.AuditFilter{}, readmodel.Page{Limit: 100})
		if err != nil || len(trail.Rows) != 3 {
			t.Errorf("version %d: the audit trail has %d records (%v), want 3", version, len(trail.Rows), err)
		}
	}
}
