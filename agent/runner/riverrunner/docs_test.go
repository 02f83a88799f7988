package riverrunner_test

import (
	"testing"

	"github.com/tasktrail/tasktrail/internal/doctest"
)

func TestTheGuideIsWhatTheExamplesDo(t *testing.T) {
	doctest.Snippets(t, "../../../docs/runners/river.md", "example_test.go", 4)
}
