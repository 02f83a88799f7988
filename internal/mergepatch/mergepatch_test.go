package mergepatch

import (
	"encoding/json"
	"testing"
)

// TestApply takes the examples of RFC 7386, appendix A.
func TestApply(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"n":12345678901234567890.10}`, `{"b":1e400}`, `{"b":1e400,"n":12345678901234567890.10}`},
		{``, `{"a":1}`, `{"a":1}`},
		{`{"h":"<&>"}`, `{"a":1}`, `{"a":1,"h":"<&>"}`},
	} {
		got, err := Apply([]byte(c[0]), []byte(c[1]))
		if err != nil || string(got) != c[2] {
			t.Errorf("%s + %s = %s, %v; want %s", c[0], c[1], got, err, c[2])
		}
	}
}

func TestApplyRefusesWhatIsNotOneValue(t *testing.T) {
	for _, c := range [][2]string{{`{"a":1} {}`, `{}`}, {`{}`, `{} 1`}, {`{`, `{}`}, {`{}`, ``}} {
		if got, err := Apply([]byte(c[0]), []byte(c[1])); err == nil {
			t.Errorf("%q + %q = %s, want an error", c[0], c[1], got)
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,2.50]}}`), []byte(`{"a":{"b":null,"c":"x"}}`))
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		once, err := Apply(doc, patch)
		if err != nil {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("%q + %q = %q, which is not JSON", doc, patch, once)
		}
		// A merge patch sets members to what they are to be: twice is once.
		twice, err := Apply(once, patch)
		if err != nil || string(twice) != string(once) {
			t.Fatalf("%q + %q = %q, and again %q, %v", doc, patch, once, twice, err)
		}
	})
}
