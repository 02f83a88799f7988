package asynqrunner_test

import (
	"testing"

	"github.com/tasktrail/tasktrail/internal/doctest"
)

func TestTheGuideIsWhatTheExamplesDo(t *testing.T) {
	doctest.Snippets(t, "../../../docs/runners/asynq.md", 4, "example_test.go")
}
