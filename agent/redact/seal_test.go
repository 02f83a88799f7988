package redact

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func newKey(t testing.TB, id string) Key {
	t.Helper()
	k := Key{ID: id}
	if _, err := rand.Read(k.Secret[:]); err != nil {
		t.Fatal(err)
	}
	return k
}

func newSealer(t testing.TB, keys ...Key) *Sealer {
	t.Helper()
	s, err := NewSealer(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealOpens(t *testing.T) {
	s := newSealer(t, newKey(t, "a"))
	for _, payload := range []string{"", "x", `{"card":"4111111111111111"}`, strings.Repeat("y", 1<<20)} {
		one, err := s.Seal("ns", "task", 1, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		two, _ := s.Seal("ns", "task", 1, []byte(payload))
		if bytes.Equal(one, two) {
			t.Fatal("the same payload is sealed the same way twice")
		}
		if len(payload) > 3 && bytes.Contains(one, []byte(payload[:4])) {
			t.Fatal("the payload shows")
		}
		got, err := s.Open("ns", "task", 1, one)
		if err != nil || string(got) != payload {
			t.Fatalf("%v: %d bytes, want %d", err, len(got), len(payload))
		}
	}
}

func TestSealIsBoundToItsRun(t *testing.T) {
	s := newSealer(t, newKey(t, "a"))
	sealed, err := s.Seal("ns", "task", 1, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ns, task string
		run      int
	}{{"ns2", "task", 1}, {"ns", "task2", 1}, {"ns", "task", 2}, {"nst", "ask", 1}, {"", "nstask", 1}} {
		if _, err := s.Open(c.ns, c.task, c.run, sealed); !errors.Is(err, ErrSealBroken) {
			t.Errorf("%+v opens it: %v", c, err)
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := s.Open("ns", "task", 1, bad); !errors.Is(err, ErrSealBroken) && !errors.Is(err, ErrNoKey) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := s.Open("ns", "task", 1, sealed[:i]); err == nil {
			t.Errorf("cut to %d bytes it opens", i)
		}
	}
}

func TestSealKeysRotate(t *testing.T) {
	old, fresh := newKey(t, "2026a"), newKey(t, "2026b")
	sealed, err := newSealer(t, old).Seal("ns", "task", 1, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	both := newSealer(t, fresh, old)
	if got, err := both.Open("ns", "task", 1, sealed); err != nil || string(got) != "x" {
		t.Fatalf("the old key does not open: %v", err)
	}
	again, _ := both.Seal("ns", "task", 1, []byte("x"))
	if _, err := newSealer(t, fresh).Open("ns", "task", 1, again); err != nil {
		t.Fatalf("the new key does not seal: %v", err)
	}
	if _, err := newSealer(t, fresh).Open("ns", "task", 1, sealed); !errors.Is(err, ErrNoKey) {
		t.Fatalf("without the key: %v", err)
	}
	// Another key that goes by the same name.
	if _, err := newSealer(t, newKey(t, "2026a")).Open("ns", "task", 1, sealed); !errors.Is(err, ErrSealBroken) {
		t.Fatalf("with the wrong key: %v", err)
	}
}

func TestParseKeys(t *testing.T) {
	a, b := newKey(t, "a"), newKey(t, "b")
	text := "a:" + base64.StdEncoding.EncodeToString(a.Secret[:]) + ", b:" + base64.RawURLEncoding.EncodeToString(b.Secret[:])
	keys, err := ParseKeys(text)
	if err != nil || len(keys) != 2 || keys[0] != a || keys[1] != b {
		t.Fatalf("%v: %v", keys, err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", a, a, a, keys); strings.Contains(s, string(a.Secret[:4])) || strings.Contains(s, fmt.Sprint(a.Secret[0])+" "+fmt.Sprint(a.Secret[1])) {
		t.Errorf("a key shows its secret: %q", s)
	}
	for _, bad := range []string{"", "a", "a:xx", "a:" + base64.StdEncoding.EncodeToString([]byte("short")), text + ","} {
		if _, err := ParseKeys(bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "c2hvcnQ") {
			t.Errorf("the error quotes the secret: %v", err)
		}
	}
}

func TestNewSealerReportsFaults(t *testing.T) {
	if _, err := NewSealer(); err == nil {
		t.Error("a sealer without a key")
	}
	a := newKey(t, "a")
	_, err := NewSealer(a, a, Key{ID: "empty"}, newKey(t, ""))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 3 {
		t.Errorf("want 3 faults, got %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	s := newSealer(f, newKey(f, "a"))
	sealed, err := s.Seal("ns", "task", 1, []byte("payload"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{1, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := s.Open("ns", "task", 1, b); err == nil && !bytes.Equal(b, sealed) {
			t.Fatalf("%x opens as %q", b, got)
		}
	})
}
