package failure

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// fingerprintVersion stands before every fingerprint; another way of grouping
// gets another version.
const fingerprintVersion = "fp1:"

// maxNormalized bounds how much of a message takes part in its fingerprint.
const maxNormalized = 4 << 10

// Fingerprint returns "fp1:" and 16 hexadecimal characters: the same for errors
// that differ in their values alone. It hashes the kind, the message as
// [Normalize] leaves it, and the function names of the first five in-application
// frames of stack (in the form of debug.Stack; may be empty).
func Fingerprint(kind, message, stack string) string {
	h := sha256.New()
	// A NUL byte cannot stand in any part after normalisation, so that no two
	// lists of parts hash alike.
	fmt.Fprintf(h, "%s\x00%s", strings.ReplaceAll(kind, "\x00", ""), Normalize(message))
	for _, frame := range applicationFrames(stack) {
		fmt.Fprintf(h, "\x00%s", frame)
	}
	return fingerprintVersion + hex.EncodeToString(h.Sum(nil)[:8])
}

// Message returns the text of err, and its type's name where its Error method
// panics. It returns "" for nil.
func Message(err error) (s string) {
	if err == nil {
		return ""
	}
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T", err)
		}
	}()
	return err.Error()
}

// cut returns the beginning of s as valid UTF-8 of at most limit bytes, and says
// with an ellipsis that there was more.
func cut(s string, limit int) string {
	const ellipsis = "…"
	whole := len(s) <= limit
	if !whole {
		s = s[:limit]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if r, size := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && size <= 1 && len(s) > 0 {
			s = s[:len(s)-1]
		}
	}
	s = strings.ToValidUTF8(s, "?") // one byte for one or more, so that it does not grow
	if whole {
		return s
	}
	for len(s) > limit-len(ellipsis) {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s + ellipsis
}
