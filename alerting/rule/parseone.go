package rule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/tasktrail/tasktrail/timeline"
)

// MaxRuleBytes bounds one rule in JSON.
const MaxRuleBytes = 64 << 10

// ParseOne reads one rule in JSON, in the words of the file. Its error joins a
// *[timeline.FieldError] for each fault, which names the field by its path.
func ParseOne(b []byte) (Rule, error) {
	wrong := func(field, format string, args ...any) (Rule, error) {
		return Rule{}, &timeline.FieldError{Field: field, Want: fmt.Sprintf(format, args...)}
	}
	if len(b) > MaxRuleBytes {
		return wrong("", "%d bytes, the limit is %d", len(b), MaxRuleBytes)
	}
	// Without blanks each field stands at a column of its own, on the one line.
	var flat bytes.Buffer
	if err := json.Compact(&flat, b); err != nil {
		return wrong("", "not JSON: %v", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(flat.Bytes(), &doc); err != nil || len(doc.Content) != 1 {
		return wrong("", "want a rule: an object with name, kind, …")
	}
	p := &parser{file: &File{}, names: map[string]bool{}}
	p.rule(doc.Content[0])
	if len(p.faults) > 0 {
		errs := make([]error, len(p.faults))
		for i, f := range p.faults {
			path, _ := pathAt(doc.Content[0], f.Line, f.Column, "")
			errs[i] = &timeline.FieldError{Field: path, Want: f.Want}
		}
		return Rule{}, errors.Join(errs...)
	}
	if len(p.file.Rules) != 1 {
		return wrong("", "want a rule: an object with name, kind, …")
	}
	return p.file.Rules[0], nil
}

// pathAt names the node that begins at a place.
func pathAt(n *yaml.Node, line, column int, path string) (string, bool) {
	if n.Line == line && n.Column == column {
		return path, true
	}
	join := func(name string) string {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			if k.Line == line && k.Column == column {
				return join(k.Value), true
			}
			if found, ok := pathAt(v, line, column, join(k.Value)); ok {
				return found, true
			}
		}
	case yaml.SequenceNode:
		for i, v := range n.Content {
			if found, ok := pathAt(v, line, column, path+"["+strconv.Itoa(i)+"]"); ok {
				return found, true
			}
		}
	}
	return "", false
}

// In gives the rule as one that was set in a namespace: about its tasks alone.
func (r Rule) In(namespace string) Rule {
	r.Scope = namespace
	return r
}
