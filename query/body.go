package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
)

// wrongBody is a fault of a request's body, at the field.
func wrongBody(field, format string, args ...any) error {
	return &failure{code: codeInvalidBody, field: field, detail: fmt.Sprintf(format, args...)}
}

// checkBody holds what every body must be: JSON by its type, UTF-8, one object.
// An empty body is no object and no error.
func checkBody(contentType string, body []byte) (map[string]json.RawMessage, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != fiber.MIMEApplicationJSON {
		return nil, &failure{code: codeUnsupportedMedia, detail: "send Content-Type: application/json"}
	}
	if !utf8.Valid(body) {
		return nil, wrongBody("", "must be valid UTF-8")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, wrongBody("", "want one JSON object")
	}
	return fields, nil
}

// decodeBody reads a body into a struct, strictly: an unknown field, a value of
// another type and a string with NUL are refused by name.
func decodeBody(r *request, body []byte, into any) error {
	fields, err := checkBody(r.c.Get(fiber.HeaderContentType), body)
	if err != nil {
		return err
	}
	allowed := jsonFields(reflect.TypeOf(into).Elem())
	for name := range fields {
		if !strings.Contains(" "+allowed+" ", " "+name+" ") || strings.Contains(name, " ") {
			return wrongBody(printable(name), "there is no such field here; there are: %s", strings.ReplaceAll(allowed, " ", ", "))
		}
	}
	if fields == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return wrongBody(kind.Field, "want %s", jsonKind(kind.Type))
		}
		if name, ok := strings.CutPrefix(err.Error(), `json: unknown field "`); ok {
			return wrongBody(printable(strings.TrimSuffix(name, `"`)), "there is no such field here")
		}
		// A field's own reader refused it; whose it was is found by asking each.
		for name, raw := range fields {
			one := reflect.New(reflect.TypeOf(into).Elem()).Interface()
			b, _ := json.Marshal(map[string]json.RawMessage{name: raw})
			if oneErr := json.Unmarshal(b, one); oneErr != nil {
				return wrongBody(name, "%s", printable(strings.TrimPrefix(oneErr.Error(), "json: ")))
			}
		}
		return wrongBody("", "%s", printable(err.Error()))
	}
	if bytes.Contains(body, []byte(`\u0000`)) {
		for name, raw := range fields {
			if bytes.Contains(raw, []byte(`\u0000`)) {
				return wrongBody(name, "must not contain NUL")
			}
		}
	}
	return nil
}

// jsonFields are the names of a struct's fields in JSON, separated by blanks.
func jsonFields(t reflect.Type) string {
	var names []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return "an object"
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Int32:
		return "a whole number"
	default:
		return "a number"
	}
}

// checkReason bounds the reason an operator gives.
func checkReason(reason string) error {
	if len(reason) > maxReasonBytes || strings.IndexByte(reason, 0) >= 0 {
		return wrongBody("reason", "want at most %d bytes without NUL", maxReasonBytes)
	}
	return nil
}
