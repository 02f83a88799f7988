package asynqrunner_test

import (
	"testing"

	"github.com/tasktrail/tasktrail/internal/doctest"
)

func TestTheGuideIsWhatTheExamplesDo(t *testing.T) {
	doctest.Snippets(t, "../../../docs/runners/asynq.md", "example_test.go", 4)
}
