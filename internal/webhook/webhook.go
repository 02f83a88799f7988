// Package webhook signs and checks calls as Standard Webhooks 1.0 says. It sends
// nothing.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Headers of a call.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// SecretPrefix stands before every secret.
const SecretPrefix = "whsec_"

// Secret writes a key as it is shown to whoever checks calls.
func Secret(key []byte) string { return SecretPrefix + base64.StdEncoding.EncodeToString(key) }

// ParseSecret reads a secret: 24 to 64 bytes as base64, with or without its prefix.
func ParseSecret(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, SecretPrefix))
	if err != nil {
		return nil, errors.New("want whsec_ and base64")
	}
	if len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("%d bytes, want 24 to 64", len(key))
	}
	return key, nil
}

// Sign gives the value of the signature header: one signature for each key.
func Sign(keys [][]byte, id string, at time.Time, body []byte) string {
	var b strings.Builder
	for i, key := range keys {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("v1,")
		b.WriteString(base64.StdEncoding.EncodeToString(sum(key, id, at.Unix(), body)))
	}
	return b.String()
}

func sum(key []byte, id string, at int64, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s.%d.", id, at)
	h.Write(body)
	return h.Sum(nil)
}

// Tolerance is how far the time of a call may be from the receiver's.
const Tolerance = 5 * time.Minute

// Verify reports why a call is not to be believed, nil where it is.
func Verify(key []byte, id, timestamp, signature string, body []byte, now time.Time) error {
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return errors.New("the timestamp is not a number of seconds")
	}
	if off := now.Sub(time.Unix(at, 0)); off > Tolerance || off < -Tolerance {
		return errors.New("the timestamp is too far from now")
	}
	want := sum(key, id, at, body)
	for one := range strings.FieldsSeq(signature) {
		value, isV1 := strings.CutPrefix(one, "v1,")
		if !isV1 {
			continue
		}
		if got, err := base64.StdEncoding.DecodeString(value); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return errors.New("no signature is of this secret")
}
