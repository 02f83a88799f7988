// Package redact takes out of payloads what must not be stored (by key, by path
// and by pattern), cuts them to a size, and seals originals for those who may
// replay them. It decides nothing about where payloads go.
package redact

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"unicode/utf8"
)

// Config are the settings of a Redactor. Its zero value works.
type Config struct {
	// DenyKeys are the names of object members whose values are taken out. Case
	// and separators do not matter, and a name counts within a longer one as words
	// of its own: api_key also stands for apiKey, X-API-Key and stripe_api_key. An
	// empty slice that is not nil denies none.
	// Defaults to [DefaultDenyKeys].
	DenyKeys []string
	// Paths are dotted paths from the root whose values are taken out, such as
	// user.address or cards.*.number; * is any one member or array element. At
	// most 64.
	// Defaults to none.
	Paths []string
	// Patterns are taken out of every text, inside JSON strings and elsewhere.
	// Defaults to none.
	Patterns []*regexp.Regexp
	// KeepCardNumbers turns off the search for payment card numbers (13 to 19
	// digits that begin as the networks' do and pass the Luhn check).
	// Defaults to false.
	KeepCardNumbers bool
	// MaxBytes is how long a payload may be after redaction, at least 256.
	// Defaults to 256 KiB.
	MaxBytes int
	// Mask stands where something was taken out: printable ASCII without quotes
	// and backslashes.
	// Defaults to [REDACTED].
	Mask string
}

const (
	defaultMaxBytes = 256 << 10
	minMaxBytes     = 256
	defaultMask     = "[REDACTED]"
)

// WithDefaults returns the configuration with every empty field set.
func (c Config) WithDefaults() Config {
	if c.DenyKeys == nil {
		c.DenyKeys = DefaultDenyKeys()
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.Mask == "" {
		c.Mask = defaultMask
	}
	return c
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	c = c.WithDefaults()
	_, err := parsePaths(c.Paths)
	faults := []error{err}
	if c.MaxBytes < minMaxBytes {
		faults = append(faults, fmt.Errorf("payload limit %d: want %d bytes or more", c.MaxBytes, minMaxBytes))
	}
	for _, r := range c.Mask {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			faults = append(faults, fmt.Errorf("redaction mask %q: want printable ASCII without quotes and backslashes", c.Mask))
			break
		}
	}
	if slices.Contains(c.Patterns, nil) {
		faults = append(faults, errors.New("redaction patterns: one is nil"))
	}
	return errors.Join(faults...)
}

// Redactor redacts payloads. It is safe for concurrent use.
type Redactor struct {
	cfg   Config
	keys  *keySet
	paths paths
	mask  []byte
	// quoted is the mask as a JSON string.
	quoted []byte
	// scanners keeps *scanner between calls.
	scanners sync.Pool
}

// New returns a redactor, or an error that names every fault of cfg.
func New(cfg Config) (*Redactor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	p, err := parsePaths(cfg.Paths)
	if err != nil {
		return nil, err
	}
	return &Redactor{
		cfg: cfg, keys: newKeySet(cfg.DenyKeys), paths: p,
		mask: []byte(cfg.Mask), quoted: []byte(`"` + cfg.Mask + `"`),
	}, nil
}

// Apply returns payload as it may be stored, and whether that differs from
// payload. JSON stays JSON, and everything stays or becomes valid UTF-8. A result
// longer than Config.MaxBytes becomes {"_truncated":true,"_bytes":N,"preview":"…"}
// with N the bytes of payload. Where nothing changes, the result is payload
// itself and nothing is allocated. payload is never written to.
//
// What is not JSON, or stops being JSON in the middle, is text: patterns are
// taken out of it, and the values behind denied names that stand in it as in
// JSON or as name=value, so that a document that was cut elsewhere, a form or a
// URL gives nothing away.
func (r *Redactor) Apply(payload []byte) (out []byte, changed bool) {
	in := payload
	// What lies far behind the limit cannot be part of the result; nobody should
	// wait for its redaction.
	if most := 4 * r.cfg.MaxBytes; len(in) > most {
		in = in[:most]
	}
	out, changed = r.redact(in, r.paths.all(), 0)
	if len(in) == len(payload) && len(out) <= r.cfg.MaxBytes {
		return out, changed
	}
	return r.truncated(out, len(payload)), true
}

// redact returns in without what is denied, as valid UTF-8. nesting counts the
// JSON texts inside JSON strings around it.
func (r *Redactor) redact(in []byte, set uint64, nesting int) ([]byte, bool) {
	if !utf8.Valid(in) {
		out, _ := r.redact(bytes.ToValidUTF8(in, []byte("\uFFFD")), set, nesting)
		return out, true
	}
	s, _ := r.scanners.Get().(*scanner)
	if s == nil {
		s = new(scanner)
	}
	s.start(r, in, nesting)
	if !s.documents(set) {
		// Whatever was taken out so far stays out; the rest is text.
		s.text()
	}
	out, changed := s.result()
	s.start(nil, nil, 0) // keeps no payload alive
	r.scanners.Put(s)
	return out, changed
}

// Text returns a message with its patterns and what stands behind denied names
// taken out, as valid UTF-8. It does not cut.
func (r *Redactor) Text(message string) string {
	if message == "" {
		return message
	}
	out, changed := r.redact([]byte(message), r.paths.all(), 0)
	if !changed {
		return message
	}
	return string(out)
}

// truncated returns the mark for a payload of size bytes that is too long, with
// as much of its redacted text as the limit allows.
func (r *Redactor) truncated(redacted []byte, size int) []byte {
	out := make([]byte, 0, r.cfg.MaxBytes)
	out = fmt.Appendf(out, `{"_truncated":true,"_bytes":%d,"preview":"`, size)
	const end = `…"}`
	return append(appendEscaped(out, redacted, r.cfg.MaxBytes-len(end)), end...)
}

// patterns returns s without cards and configured patterns. s is text, not
// escaped; the result is s itself where nothing was found.
func (r *Redactor) patterns(s []byte) []byte {
	if !r.cfg.KeepCardNumbers {
		s = r.cards(s)
	}
	for _, p := range r.cfg.Patterns {
		if p.Match(s) {
			s = p.ReplaceAllLiteral(s, r.mask)
		}
	}
	return s
}

func (r *Redactor) cards(s []byte) []byte {
	start, end, ok := nextCard(s, 0)
	if !ok {
		return s
	}
	var out []byte
	at := 0
	for ok {
		out = append(append(out, s[at:start]...), r.mask...)
		at = end
		start, end, ok = nextCard(s, at)
	}
	return append(out, s[at:]...)
}
