package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func newRedactor(t testing.TB, cfg Config) *Redactor {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestApplyKeys(t *testing.T) {
	r := newRedactor(t, Config{})
	for in, want := range map[string]string{
		`{"password":"x"}`:                               `{"password":"[REDACTED]"}`,
		`{"user":{"Password" : "x" , "name":"y"}}`:       `{"user":{"Password" : "[REDACTED]" , "name":"y"}}`,
		`{"apiKey":1}`:                                   `{"apiKey":"[REDACTED]"}`,
		`{"X-API-Key":true}`:                             `{"X-API-Key":"[REDACTED]"}`,
		`{"stripe_api_key":{"a":[1,2]},"b":3}`:           `{"stripe_api_key":"[REDACTED]","b":3}`,
		`{"accessToken":"x","refresh_token":["y"]}`:      `{"accessToken":"[REDACTED]","refresh_token":"[REDACTED]"}`,
		`{"cardNumber":4111}`:                            `{"cardNumber":"[REDACTED]"}`,
		`{"userpassword":"x"}`:                           `{"userpassword":"[REDACTED]"}`,
		`{"APIKey":"x","IBAN":"y","SSN":"z"}`:            `{"APIKey":"[REDACTED]","IBAN":"[REDACTED]","SSN":"[REDACTED]"}`,
		`{"pass\u0077ord":"x"}`:                          `{"pass\u0077ord":"[REDACTED]"}`,
		`{"password":null}`:                              `{"password":null}`,
		`{"password":""}`:                                `{"password":"[REDACTED]"}`,
		`{"password":"[REDACTED]"}`:                      `{"password":"[REDACTED]"}`,
		`{"max_tokens":100,"discard":1,"tokenizer":"x"}`: `{"max_tokens":100,"discard":1,"tokenizer":"x"}`,
		`{"company":"x","pinned":true,"spanish":1}`:      `{"company":"x","pinned":true,"spanish":1}`,
		`[{"secret":1},{"secret":2}]`:                    `[{"secret":"[REDACTED]"},{"secret":"[REDACTED]"}]`,
		`{"secret":{"password":"x"}}`:                    `{"secret":"[REDACTED]"}`,
		"{\"token\":\"a\"}\n{\"token\":\"b\"}\n":         "{\"token\":\"[REDACTED]\"}\n{\"token\":\"[REDACTED]\"}\n",
		`{"body":"{\"password\":\"x\",\"n\":1}"}`:        `{"body":"{\"password\":\"[REDACTED]\",\"n\":1}"}`,
		`{"a":1,"b":[],"c":{},"d":-1.5e+3,"e":"é\n"}`:    `{"a":1,"b":[],"c":{},"d":-1.5e+3,"e":"é\n"}`,
		`"just a string"`:                                `"just a string"`,
		``:                                               ``,
	} {
		out, changed := r.Apply([]byte(in))
		if string(out) != want || changed != (in != want) {
			t.Errorf("%s\n got  %s (changed %v)\n want %s", in, out, changed, want)
		}
	}
}

func TestApplyPaths(t *testing.T) {
	r := newRedactor(t, Config{Paths: []string{"user.address", "$.cards[*].holder", "list.1", "*.deep.*.x", "a"}})
	for in, want := range map[string]string{
		`{"user":{"address":{"street":"s"},"name":"n"}}`:   `{"user":{"address":"[REDACTED]","name":"n"}}`,
		`{"address":"x","other":{"user":{"address":"x"}}}`: `{"address":"x","other":{"user":{"address":"x"}}}`,
		`{"cards":[{"holder":"a","n":1},{"holder":"b"}]}`:  `{"cards":[{"holder":"[REDACTED]","n":1},{"holder":"[REDACTED]"}]}`,
		`{"list":["a","b","c"]}`:                           `{"list":["a","[REDACTED]","c"]}`,
		`{"q":{"deep":{"r":{"x":1,"y":2},"s":[{"x":1}]}}}`: `{"q":{"deep":{"r":{"x":"[REDACTED]","y":2},"s":[{"x":1}]}}}`,
		`{"a":[1,2,3]}`: `{"a":"[REDACTED]"}`,
	} {
		if out, _ := r.Apply([]byte(in)); string(out) != want {
			t.Errorf("%s\n got  %s\n want %s", in, out, want)
		}
	}
}

func TestApplyPatterns(t *testing.T) {
	r := newRedactor(t, Config{Patterns: []*regexp.Regexp{regexp.MustCompile(`sk_live_\w+`), regexp.MustCompile(`"quoted"`)}})
	for in, want := range map[string]string{
		`{"note":"card 4111 1111 1111 1111 please"}`:          `{"note":"card [REDACTED] please"}`,
		`{"note":"4111-1111-1111-1111"}`:                      `{"note":"[REDACTED]"}`,
		`{"note":"4111111111111112"}`:                         `{"note":"4111111111111112"}`, // fails the check
		`{"n":4111111111111111}`:                              `{"n":"[REDACTED]"}`,
		`{"n":378282246310005,"m":1700000000000}`:             `{"n":"[REDACTED]","m":1700000000000}`,
		`{"n":5555555555554444.5}`:                            `{"n":5555555555554444.5}`,
		`{"id":"x4111111111111111"}`:                          `{"id":"x4111111111111111"}`,
		`{"note":"two: 4111111111111111, 5555555555554444."}`: `{"note":"two: [REDACTED], [REDACTED]."}`,
		`{"4111111111111111":1}`:                              `{"[REDACTED]":1}`,
		`{"note":"key sk_live_abc123"}`:                       `{"note":"key [REDACTED]"}`,
		`{"note":"say \"quoted\"\n"}`:                         `{"note":"say [REDACTED]\n"}`,
		`not json: sk_live_abc, 4111111111111111`:             `not json: [REDACTED], [REDACTED]`,
	} {
		out, changed := r.Apply([]byte(in))
		if string(out) != want || changed != (in != want) {
			t.Errorf("%s\n got  %s (changed %v)\n want %s", in, out, changed, want)
		}
	}
	keep := newRedactor(t, Config{KeepCardNumbers: true})
	if out, changed := keep.Apply([]byte(`{"n":4111111111111111,"s":"4111111111111111"}`)); changed {
		t.Errorf("card numbers were to be kept: %s", out)
	}
}

func TestApplyTextGivesNothingAway(t *testing.T) {
	r := newRedactor(t, Config{})
	for in, want := range map[string]string{
		`{"a":1,"password":"hunter2`:                   `{"a":1,"password":"[REDACTED]"`,
		`{"password":{"x":"hunter2","y":[`:             `{"password":"[REDACTED]"`,
		`{"a":oops,"password":"hunter2","b":1}`:        `{"a":oops,"password":"[REDACTED]","b":1}`,
		`error: bad body "{\"password\":\"hunter2\"}"`: `error: bad body "{\"password\":"[REDACTED]"}"`,
		`got {"token": 12345678, "n": 1} instead`:      `got {"token": "[REDACTED]", "n": 1} instead`,
		`said "hello" and "password":"hunter2"`:        `said "hello" and "password":"[REDACTED]"`,
		`user=bob&password=hunter2&x=1`:                `user=bob&password=[REDACTED]&x=1`,
		`Get "https://x/y?api_key=hunter2&n=1": EOF`:   `Get "https://x/y?api_key=[REDACTED]&n=1": EOF`,
		`connect password="hunter 2" host=x`:           `connect password=[REDACTED] host=x`,
		`a == b, total=5, token expired`:               `a == b, total=5, token expired`,
		`{"password":"a","b":"\x"}`:                    `{"password":"[REDACTED]","b":"\x"}`,
	} {
		if out, _ := r.Apply([]byte(in)); string(out) != want {
			t.Errorf("%s\n got  %s\n want %s", in, out, want)
		}
		if out := r.Text(in); out != want {
			t.Errorf("as a message: %s\n got  %s\n want %s", in, out, want)
		}
	}
}

func TestApplyMakesValidUTF8(t *testing.T) {
	r := newRedactor(t, Config{})
	out, changed := r.Apply([]byte("{\"a\":\"x\xffy\",\"password\":\"\xfe\"}"))
	if want := "{\"a\":\"x\uFFFDy\",\"password\":\"[REDACTED]\"}"; string(out) != want || !changed {
		t.Fatalf("got %q, want %q", out, want)
	}
}

type mark struct {
	Truncated bool   `json:"_truncated"`
	Bytes     int    `json:"_bytes"`
	Preview   string `json:"preview"`
}

func TestApplyCuts(t *testing.T) {
	r := newRedactor(t, Config{MaxBytes: 1000})
	for name, in := range map[string]string{
		"JSON":          `{"password":"hunter2","text":"` + strings.Repeat("a", 5000) + `"}`,
		"umlauts":       `{"password":"hunter2","text":"` + strings.Repeat("äöü€😀", 500) + `"}`,
		"control bytes": strings.Repeat("\x01\"\\\n", 500),
		"no UTF-8":      strings.Repeat("\xff", 5000),
		"just over":     strings.Repeat("x", 1001),
		"cut in two":    `{"text":"` + strings.Repeat("b", 3500) + `","password":"` + strings.Repeat("hunter2", 1000) + `"}`,
	} {
		out, changed := r.Apply([]byte(in))
		var m mark
		if err := json.Unmarshal(out, &m); err != nil || !changed {
			t.Fatalf("%s: %v in %q", name, err, out)
		}
		if !m.Truncated || m.Bytes != len(in) || len(out) > 1000 || len(out) < 980 && name != "no UTF-8" || !utf8.Valid(out) || !strings.HasSuffix(m.Preview, "…") {
			t.Errorf("%s: %d bytes, %+v", name, len(out), m)
		}
		if bytes.Contains(out, []byte("hunter2")) {
			t.Errorf("%s: the preview gives it away", name)
		}
	}
	// What is short enough once it is redacted is not cut.
	in := `{"password":"` + strings.Repeat("x", 3000) + `","n":1}`
	if out, _ := r.Apply([]byte(in)); string(out) != `{"password":"[REDACTED]","n":1}` {
		t.Errorf("cut for nothing: %s", out)
	}
	exact := strings.Repeat("x", 1000)
	if out, changed := r.Apply([]byte(exact)); string(out) != exact || changed {
		t.Error("a payload of exactly the limit was changed")
	}
}

func TestApplyIsQuickOnHostileInput(t *testing.T) {
	r := newRedactor(t, Config{Paths: []string{"a.*.b"}})
	for name, unit := range map[string]string{
		"quotes": `"`, "escaped quotes": `\"`, "backslashes": `\`, "open": `[{"a":`, "deep": `[`, "equals": `password=`, "equals only": "=",
		"names": `"token":`, "digits": `4`, "card digits": `4111 `, "nested": `"{\"a\":`, "braces": `"token":{`,
	} {
		in := []byte(strings.Repeat(unit, (1<<20)/len(unit)))
		out, _ := r.Apply(in)
		if len(out) > defaultMaxBytes {
			t.Errorf("%s: %d bytes", name, len(out))
		}
	}
}

func TestApplyAllocatesNothingWhereNothingChanges(t *testing.T) {
	r := newRedactor(t, Config{Paths: []string{"user.address"}})
	in := []byte(`{"order_id":"ord_123","amount":"12.50","items":[{"sku":"a","n":1},{"sku":"b\n","n":2}],"user":{"name":"x"}}`)
	if n := testing.AllocsPerRun(1000, func() {
		if out, changed := r.Apply(in); changed || &out[0] != &in[0] {
			t.Fatal("changed")
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestApplyNeverWritesToItsInput(t *testing.T) {
	r := newRedactor(t, Config{Patterns: []*regexp.Regexp{regexp.MustCompile(`y+`)}})
	for _, in := range []string{`{"password":"x","n":4111111111111111,"s":"yyy"}`, "password=x yyy 4111111111111111\xff"} {
		b := []byte(in)
		r.Apply(b)
		if string(b) != in {
			t.Errorf("%q became %q", in, b)
		}
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	err := Config{Paths: []string{"a..b"}, MaxBytes: 10, Mask: `"`, Patterns: []*regexp.Regexp{nil}}.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 4 {
		t.Fatalf("want 4 faults, got %v", err)
	}
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprint("p", i)
	}
	if (Config{Paths: many}).Validate() == nil {
		t.Fatal("65 paths")
	}
	if _, err := New(Config{Paths: many[:64]}); err != nil {
		t.Fatal(err)
	}
}

// secret is a value that must not survive; it cannot come from anywhere else.
const secret = "S3CR3Tq7w9"

func FuzzApply(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,{"b":"c"}],"d":null}`, `{"password":"x"}`, `{"a":"{\"token\":1}"}`, "not json \xff", `{"a":"\ud800\u0041"}`,
		`[4111111111111111,"4111 1111 1111 1111"]`, `{"a":1}{"b":2}`, `{"a":`, `"\`, `user=x&pin=5`,
	} {
		f.Add([]byte(s), uint16(300))
	}
	f.Fuzz(func(t *testing.T, in []byte, limit uint16) {
		r := newRedactor(t, Config{MaxBytes: max(int(limit), 256), Paths: []string{"x.*.y", "q"}})
		before := bytes.Clone(in)
		out, changed := r.Apply(in)
		if !bytes.Equal(in, before) {
			t.Fatal("the input was written to")
		}
		if changed == bytes.Equal(in, out) {
			t.Fatalf("%q → %q, changed %v", in, out, changed)
		}
		if len(out) > max(int(limit), 256) {
			t.Fatalf("%d bytes, the limit is %d", len(out), limit)
		}
		if !utf8.Valid(out) {
			t.Fatalf("%q → %q", in, out)
		}
		if json.Valid(in) && !json.Valid(out) {
			t.Fatalf("%q → %q is no JSON", in, out)
		}
		if again, changed := r.Apply(out); changed && utf8.Valid(in) && len(in) < 256 && json.Valid(in) {
			t.Fatalf("%q → %q → %q", in, out, again)
		}
		if !json.Valid(in) || len(in) > 20_000 {
			return
		}
		// Wherever a denied value stands in a document, it does not come out.
		for _, doc := range [][]byte{
			[]byte(fmt.Sprintf(`{"n":%s,"password":%q}`, in, secret)),
			[]byte(fmt.Sprintf(`[%s,{"a":{"api_key":{"v":[%q,%s]}}}]`, in, secret, in)),
			[]byte(fmt.Sprintf(`{"x":{"any":{"y":%q}},"n":%s}`, secret, in)),
			[]byte(fmt.Sprintf(`{"n":%s,"cvv":"%s`, in, secret)),
			[]byte(fmt.Sprintf(`%s,"token":"%s"`, in, secret)),
		} {
			if out, _ := r.Apply(doc); bytes.Contains(out, []byte(secret)) && !bytes.Contains(in, []byte(secret)) {
				t.Fatalf("%s → %s", doc, out)
			}
		}
	})
}

func BenchmarkApply(b *testing.B) {
	r := newRedactor(b, Config{})
	for name, in := range map[string]string{
		"unchanged": `{"order_id":"ord_123","amount":"12.50","currency":"USD","items":[{"sku":"a","n":1},{"sku":"b","n":2}],"user":{"name":"x","mail":"y"}}`,
		"redacted":  `{"order_id":"ord_123","amount":"12.50","currency":"USD","card_number":"4111111111111111","user":{"name":"x","password":"y"}}`,
	} {
		b.Run(name, func(b *testing.B) {
			payload := []byte(in)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				r.Apply(payload)
			}
		})
	}
}
