package bullmq

import (
	"testing"

	"github.com/tasktrail/tasktrail/internal/doctest"
)

func TestTheGuideIsWhatTheExampleDoes(t *testing.T) {
	doctest.Snippets(t, "../../docs/runners/bullmq.md", 3, "worker.js", "requeue.js", "timeline.js")
}
