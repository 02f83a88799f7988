package sidekiq

import (
	"testing"

	"github.com/tasktrail/tasktrail/internal/doctest"
)

func TestTheGuideIsWhatTheExampleDoes(t *testing.T) {
	doctest.Snippets(t, "../../docs/runners/sidekiq.md", 4, "timeline.rb", "requeue.ru", "enqueue.rb", "testdata/shapes.rb")
}
