package match

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func set(t testing.TB, text string) *Set {
	t.Helper()
	var s Set
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestMatch(t *testing.T) {
	l := Labels{Namespace: "default", Type: "payment", Queue: "pay-eu", Agent: ""}
	f := func(text string, want bool) {
		t.Helper()
		if got := set(t, text).Match(&l); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	f(`{}`, true)
	f(`{"type":"payment"}`, true)
	f(`{"type":"pay"}`, false)
	f(`{"type":["send_email","payment"]}`, true)
	f(`{"queue":"pay-*"}`, true)
	f(`{"queue":"*-eu"}`, true)
	f(`{"queue":"p?y-e?"}`, true)
	f(`{"queue":"p*z"}`, false)
	f(`{"queue":"!pay-*"}`, false)
	f(`{"queue":["pay-*","!*-us"]}`, true)
	f(`{"agent":""}`, true)
	f(`{"agent":"?*"}`, false)
	f(`{"type":"payment","queue":"other"}`, false)
	for _, bad := range []string{`{"colour":"x"}`, `{"type":1}`, `[]`, `{"type":[1]}`} {
		var s Set
		if err := json.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestAnIndexFindsWhatEachSetMatches(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	patterns := []string{"a", "b", "ab", "a*", "*b", "!a", "!b*", "?", "", "*"}
	values := []string{"", "a", "b", "ab", "ba", "c"}
	for range 200 {
		var sets []*Set
		for range rnd.IntN(150) {
			s := &Set{}
			for f := range numFields {
				for range rnd.IntN(3) {
					if rnd.IntN(4) == 0 {
						if err := s.Add(f, patterns[rnd.IntN(len(patterns))]); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			sets = append(sets, s)
		}
		x := NewIndex(sets)
		for range 20 {
			var l Labels
			for f := range l {
				l[f] = values[rnd.IntN(len(values))]
			}
			var want, got []int
			for i, s := range sets {
				if s.Match(&l) {
					want = append(want, i)
				}
			}
			x.Find(&l, func(n int) bool { got = append(got, n); return true })
			if !slices.Equal(got, want) {
				t.Fatalf("%v: got %v, want %v", l, got, want)
			}
		}
	}
}

func FuzzSet(f *testing.F) {
	f.Add(`{"type":["a*","!b"]}`, "abc")
	f.Fuzz(func(t *testing.T, text, value string) {
		var s Set
		if json.Unmarshal([]byte(text), &s) != nil {
			return
		}
		l := Labels{Type: value}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again Set
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if s.Match(&l) != again.Match(&l) {
			t.Errorf("%s and %s differ on %q", text, b, value)
		}
	})
}

// 10 000 alerts against 1 000 silences of all kinds.
func BenchmarkIndex(b *testing.B) {
	var sets []*Set
	for i := range 1_000 {
		s := &Set{}
		switch i % 4 {
		case 0:
			_ = s.Add(Task, fmt.Sprint("t", i))
		case 1:
			_ = s.Add(Provider, fmt.Sprint("bank-", i))
			_ = s.Add(Type, "pay*")
		case 2:
			_ = s.Add(Queue, fmt.Sprintf("q%d-*", i))
		case 3:
			_ = s.Add(Rule, "!task_failed")
			_ = s.Add(User, fmt.Sprint("u", i))
		}
		sets = append(sets, s)
	}
	alerts := make([]Labels, 10_000)
	for i := range alerts {
		alerts[i] = Labels{Namespace: "default", Task: fmt.Sprint("t", i), Provider: fmt.Sprint("bank-", i%50), Queue: fmt.Sprintf("q%d-x", i%40), Type: "payment", Rule: "task_failed"}
	}
	for b.Loop() {
		x := NewIndex(sets)
		n := 0
		for i := range alerts {
			x.Find(&alerts[i], func(int) bool { n++; return false })
		}
		if n == 0 {
			b.Fatal("nothing matched")
		}
	}
}
