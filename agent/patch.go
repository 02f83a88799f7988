package agent

import "github.com/tasktrail/tasktrail/internal/mergepatch"

// MergePatch applies an RFC 7386 merge patch. Numbers keep their digits.
func MergePatch(doc, patch []byte) ([]byte, error) { return mergepatch.Apply(doc, patch) }
