package celery

import (
	"testing"

	"github.com/tasktrail/tasktrail/internal/doctest"
)

func TestTheGuideIsWhatTheExampleDoes(t *testing.T) {
	doctest.Snippets(t, "../../docs/runners/celery.md", 4, "timeline.py", "requeue.py", "enqueue.py", "tasks.py")
}
