// Package render writes the title and the text of a call from a template that an
// operator wrote, within bounds: a template that loops without end, writes
// without end or fails costs an error and nothing else.
//
// It does not say what is done instead of a template that fails.
package render

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

const (
	// MaxBytes bounds what a template may write.
	MaxBytes = 16 << 10
	// maxSource bounds a template.
	maxSource = 16 << 10
)

// Data is what a template sees.
type Data struct {
	timeline.Alert
	// Alerts are all alerts of the call, the one above first.
	Alerts []timeline.Alert
	// Link leads to the task, or to the alerts, in the UI; empty without a base URL.
	Link string
}

// Parse reads a template. Its functions are upper, lower, trim, join, short (the
// first n bytes), since, date, and those of text/template.
func Parse(text string) (*template.Template, error) {
	if len(text) > maxSource {
		return nil, fmt.Errorf("the template has %d bytes, want at most %d", len(text), maxSource)
	}
	t, err := template.New("template").Option("missingkey=error").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	for _, part := range t.Templates() {
		if part.Tree == nil {
			continue
		}
		if err := bounded(part.Root); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Check reports what is wrong with a template, by reading it and writing an
// empty alert with it.
func Check(text string) error {
	if text == "" {
		return nil
	}
	t, err := Parse(text)
	if err != nil {
		return err
	}
	_, err = Execute(t, &Data{Alert: timeline.Alert{Error: &timeline.Error{}, Labels: map[string]string{}}, Alerts: make([]timeline.Alert, 1)})
	return err
}

// Execute writes a template.
func Execute(t *template.Template, d *Data) (string, error) {
	w := &limited{}
	if err := t.Execute(w, d); err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	return strings.ToValidUTF8(w.String(), "\uFFFD"), nil
}

type limited struct{ strings.Builder }

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > MaxBytes {
		return 0, fmt.Errorf("the text is longer than %d bytes", MaxBytes)
	}
	return l.Builder.Write(b)
}

// bounded refuses what takes time without writing: loops may only go over what
// the data holds, and templates may not call one another.
func bounded(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Nodes {
			if err := bounded(c); err != nil {
				return err
			}
		}
	case *parse.RangeNode:
		for _, c := range n.Pipe.Cmds {
			for _, a := range c.Args {
				switch a.(type) {
				case *parse.FieldNode, *parse.DotNode:
				default:
					return errors.New("range: want a list of the alert, such as .Alerts")
				}
			}
		}
		return errors.Join(bounded(n.List), bounded(n.ElseList))
	case *parse.IfNode:
		return errors.Join(bounded(n.List), bounded(n.ElseList))
	case *parse.WithNode:
		return errors.Join(bounded(n.List), bounded(n.ElseList))
	case *parse.TemplateNode:
		return errors.New("template: a template can't call another")
	}
	return nil
}

var wide = regexp.MustCompile(`%[-+# 0]*(\*|\d{4,}|\d*\.(\*|\d{4,})|\[)`)

func functions() template.FuncMap {
	return template.FuncMap{
		"upper": strings.ToUpper, "lower": strings.ToLower, "trim": strings.TrimSpace,
		"join": func(sep string, s []string) string { return strings.Join(s, sep) },
		"short": func(n int, s string) string {
			if n < 0 || n >= len(s) {
				return s
			}
			return strings.ToValidUTF8(s[:n], "") + "…"
		},
		"since": func(t time.Time) string { return time.Since(t).Round(time.Second).String() },
		"date":  func(layout string, t time.Time) string { return t.UTC().Format(layout) },
		// A width is a way to write without end before anything is written.
		"printf": func(format string, args ...any) (string, error) {
			if wide.MatchString(format) {
				return "", errors.New("printf: want widths below 1000")
			}
			return fmt.Sprintf(format, args...), nil
		},
	}
}
