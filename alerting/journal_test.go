package alerting

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func load(t testing.TB, dir string) (records []string, damaged int, j *journal) {
	t.Helper()
	j, damaged, err := openJournal(dir, func(r []byte) error { records = append(records, string(r)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.file.Close() })
	return records, damaged, j
}

func TestJournalKeepsWhatWasFlushed(t *testing.T) {
	dir := t.TempDir()
	_, _, j := load(t, dir)
	for i := range 10 {
		j.add(fmt.Appendf(nil, `{"n":%d}`, i))
	}
	if err := j.flush(true); err != nil {
		t.Fatal(err)
	}
	j.add([]byte("lost with the process"))
	if got, damaged, _ := load(t, dir); len(got) != 10 || damaged != 0 || got[9] != `{"n":9}` {
		t.Errorf("got %d records, %d damaged", len(got), damaged)
	}
}

func TestJournalSurvivesDamage(t *testing.T) {
	path := func(dir string) string { return filepath.Join(dir, "alerts.journal") }
	fill := func(t *testing.T) (string, []byte) {
		dir := t.TempDir()
		_, _, j := load(t, dir)
		for i := range 5 {
			j.add(fmt.Appendf(nil, `{"n":%d}`, i))
			if err := j.flush(false); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path(dir))
		if err != nil {
			t.Fatal(err)
		}
		return dir, b
	}
	t.Run("torn end", func(t *testing.T) {
		dir, b := fill(t)
		if err := os.WriteFile(path(dir), b[:len(b)-3], 0o600); err != nil {
			t.Fatal(err)
		}
		got, damaged, j := load(t, dir)
		if len(got) != 4 || damaged != 1 {
			t.Errorf("%d records, %d damaged", len(got), damaged)
		}
		j.add([]byte(`{"n":"new"}`))
		if err := j.flush(true); err != nil {
			t.Fatal(err)
		}
		if got, damaged, _ = load(t, dir); len(got) != 5 || damaged != 0 || got[4] != `{"n":"new"}` {
			t.Errorf("after the end was cut off: %v, %d damaged", got, damaged)
		}
	})
	t.Run("torn amid what was flushed together", func(t *testing.T) {
		dir, whole := fill(t)
		_, _, j := load(t, dir)
		for i := range 3 {
			j.add(fmt.Appendf(nil, `{"more":%d}`, i))
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path(dir))
		if err != nil {
			t.Fatal(err)
		}
		for cut := len(whole); cut < len(b); cut++ {
			if err := os.WriteFile(path(dir), b[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			if got, _, j := load(t, dir); len(got) != 5 || j.size != int64(len(whole)) {
				t.Fatalf("cut at %d of %d: %v, %d bytes are kept", cut, len(b), got, j.size)
			}
		}
	})
	t.Run("flipped bit", func(t *testing.T) {
		dir, b := fill(t)
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path(dir), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, damaged, _ := load(t, dir); len(got)+damaged < 5 || len(got) < 3 || damaged == 0 {
			t.Errorf("%v, %d damaged", got, damaged)
		}
	})
	t.Run("rewrite cut short", func(t *testing.T) {
		dir, _ := fill(t)
		if err := os.WriteFile(path(dir)+".new", []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, damaged, _ := load(t, dir); len(got) != 5 || damaged != 0 {
			t.Errorf("%v, %d damaged", got, damaged)
		}
	})
}

func TestJournalRewrite(t *testing.T) {
	dir := t.TempDir()
	_, _, j := load(t, dir)
	for range 100 {
		j.add(bytes.Repeat([]byte("x"), 100))
	}
	if err := j.flush(true); err != nil {
		t.Fatal(err)
	}
	if !j.grown(1000) || j.grown(1<<20) {
		t.Error("growth is not seen")
	}
	j.add([]byte("part of the rewrite"))
	if err := j.rewrite([][]byte{[]byte("a"), []byte("b")}); err != nil {
		t.Fatal(err)
	}
	j.add([]byte("c"))
	if err := j.flush(false); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := load(t, dir); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %v", got)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add(appendLine(nil, []byte(`{"task":{"namespace":"a","task_id":"b","runs":[1]}}`), lineContinue))
	f.Add(appendLine(nil, []byte(`{"done":{"channel":"c","seq":1}}`), lineEnds))
	f.Add([]byte("00000000 x\n\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		// What passes the checksum reaches the state: give it that chance.
		b = append(appendLine(nil, bytes.ReplaceAll(b, []byte{'\n'}, nil), lineEnds), b...)
		if err := os.WriteFile(filepath.Join(dir, "alerts.journal"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := newState(100)
		j, _, err := openJournal(dir, s.read)
		if err != nil {
			t.Fatal(err)
		}
		defer j.file.Close()
		records, err := s.records()
		if err != nil {
			t.Fatal(err)
		}
		again := newState(100)
		for _, r := range records {
			if err := again.read(r); err != nil {
				t.Fatalf("%s: %v", r, err)
			}
		}
		if len(again.tasks) != len(s.tasks) || len(again.alerts) != len(s.alerts) || len(again.breakers) != len(s.breakers) {
			t.Errorf("%d tasks, %d alerts, %d breakers became %d, %d, %d", len(s.tasks), len(s.alerts), len(s.breakers),
				len(again.tasks), len(again.alerts), len(again.breakers))
		}
	})
}
