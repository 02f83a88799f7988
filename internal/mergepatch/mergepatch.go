// Package mergepatch applies JSON merge patches (RFC 7386). It knows nothing of
// what the documents are about.
package mergepatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Apply returns doc changed as patch says. Numbers keep their digits, objects come
// out in the order of their names. An empty doc is no value, onto which an object
// is put. Errors: where one of them is not a single JSON value.
func Apply(doc, patch []byte) ([]byte, error) {
	var target, change any
	if len(doc) > 0 {
		if err := decode(doc, &target); err != nil {
			return nil, fmt.Errorf("read the document: %w", err)
		}
	}
	if err := decode(patch, &change); err != nil {
		return nil, fmt.Errorf("read the patch: %w", err)
	}
	// Without Marshal's escapes for HTML, which would change texts nobody edited.
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(merged(target, change)); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func merged(target, change any) any {
	members, ok := change.(map[string]any)
	if !ok {
		return change
	}
	into, ok := target.(map[string]any)
	if !ok {
		into = map[string]any{}
	}
	for name, v := range members {
		if v == nil {
			delete(into, name)
			continue
		}
		into[name] = merged(into[name], v)
	}
	return into
}

var errMore = errors.New("there is something after the value")

func decode(b []byte, into *any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errMore
	}
	return nil
}
