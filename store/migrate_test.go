package store_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/quick"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/storetest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMigrateTwiceAndAtOnce(t *testing.T) {
	writer, _ := storetest.DSN(t)
	// A database that does not exist is created.
	writer += "_new"
	stores := make([]*store.Store, 3)
	for i := range stores {
		s, err := store.Open(t.Context(), store.Config{DSN: writer})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		stores[i] = s
	}
	t.Cleanup(func() { stores[0].Drop(t) })
	var wg sync.WaitGroup
	errs := make([]error, len(stores))
	for i, s := range stores {
		wg.Go(func() { errs[i] = s.Migrate(t.Context()) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := stores[0].Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := everyLife(t)
	write(t, stores[1], flatten(want)...)
	checkFolds(t, stores[2], want)
}

func TestBadSettingsAreNamed(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                                    "scheme",
		"clickhouse://u:secret@h:9000/db":     "http or https",
		"http://":                             "no host",
		"http://u:secret@h/db?dial_timeout=x": "parameters",
		"ht tp://u:secret@h":                  "not a URL",
	} {
		_, err := store.Open(t.Context(), store.Config{DSN: dsn})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q and no password", dsn, err, want)
		}
	}
	_, err := store.Open(t.Context(), store.Config{DSN: "x", Readers: -1, ReadTimeout: -1})
	if err == nil || strings.Count(err.Error(), "\n") < 3 {
		t.Errorf("want every fault at once: %v", err)
	}
}

func TestRanksRiseAsTheVocabularyDoes(t *testing.T) {
	if err := quick.Check(store.RanksRise, nil); err != nil {
		t.Error(err)
	}
}

// What the engine takes the greatest of is what the fold takes the greatest of.
func TestKeysDecideAsTheFoldDoes(t *testing.T) {
	var types []timeline.Type
	for _, typ := range timeline.Types() {
		if typ.StateAfter() != "" {
			types = append(types, typ)
		}
	}
	event := func(b [5]uint8) *timeline.Event {
		typ := types[int(b[0])%len(types)]
		e := &timeline.Event{Type: typ, Run: 1 + int(b[1]%2), Attempt: int(b[2] % 3), Seq: uint64(b[3] % 4), Attempts: int(b[4] % 3)}
		if !typ.Terminal() && typ != timeline.TaskLost {
			e.Attempts = 0
		}
		return e
	}
	if err := quick.Check(func(a, b [5]uint8) bool { return store.DecidesAlike(event(a), event(b)) }, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
}

func TestRetentionIsAppliedWhereItDiffers(t *testing.T) {
	writer, reader := storetest.DSN(t)
	for _, retention := range []time.Duration{0, 48 * time.Hour, 48 * time.Hour, 36*time.Hour + time.Second, 90 * 24 * time.Hour} {
		s, err := store.Open(t.Context(), store.Config{DSN: writer, ReaderDSN: reader, Retention: retention})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := map[time.Duration]string{48 * time.Hour: "toIntervalDay(2)", 36*time.Hour + time.Second: "toIntervalSecond(129601)"}[retention]
		if want == "" {
			want = "toIntervalDay(90)"
		}
		ttls := s.TTLs(t)
		if len(ttls) < 10 {
			t.Errorf("only %d tables have an end: %v", len(ttls), ttls)
		}
		for table, ttl := range ttls {
			if strings.Count(ttl, want) != 1 || (table == "open_tasks") != strings.Contains(ttl, "toIntervalHour(1) WHERE") ||
				(table == "letter_tasks") != strings.Contains(ttl, "toIntervalHour(24) WHERE") {
				t.Errorf("retention %v: %s: %s", retention, table, ttl)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A migration that databases were made by is never changed: who has it already
// would not get the change. The sums list those; a new file is added to them when
// it is released (sha256sum *.sql > SHA256SUMS, in the folder of migrations).
func TestReleasedMigrationsStand(t *testing.T) {
	numbers := map[string]string{}
	for name := range store.Migrations(t, "") {
		number, _, _ := strings.Cut(name, "_")
		if other := numbers[number]; other != "" {
			t.Errorf("%s and %s have one number", name, other)
		}
		numbers[number] = name
	}
	released := storetest.Released(t)
	if len(released) == 0 {
		t.Fatal("no migration is listed")
	}
	for _, m := range released {
		text, err := os.ReadFile(m.Path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != m.Sum {
			t.Errorf("%s was changed, and databases were made by it: say the change in a new file instead", filepath.Base(m.Path))
		}
	}
}
