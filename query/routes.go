package query

import (
	"slices"
	"strings"
)

// apiRoutes is the table of the API, in the order of matching.
func (s *Server) apiRoutes() []route {
	page := []string{"limit", "cursor"}
	tasks := append([]string{"state", "type", "queue", "agent", "provider", "runner", "user_id", "payment_reference", "severity", "reason", "fingerprint", "trace_id", "active", "text", "error", "min_attempts", "min_duration", "max_duration", "created_from", "created_to", "from", "to"}, page...)
	failed := append(slices.Clone(letterParams), page...)
	return []route{
		// Before /tasks/:id, so that no task can take its name.
		{method: "GET", path: "/tasks/monitoring/health", access: accessRead, params: []string{"window"}, handle: s.getHealth},
		{method: "GET", path: "/tasks/monitoring/history", access: accessRead, params: []string{"window", "step", "type"}, handle: s.getHistory},
		{method: "GET", path: "/tasks", access: accessRead, params: tasks, handle: s.getTasks},
		{method: "GET", path: "/tasks/:id", access: accessRead, handle: s.getTask},
		{method: "GET", path: "/tasks/:id/timeline", access: accessRead, params: []string{"types", "severity", "run", "after"}, handle: s.getTimeline},
		{method: "GET", path: "/tasks/:id/attempts", access: accessRead, handle: s.getAttempts},
		{method: "POST", path: "/tasks/:id/retry", access: accessOperate, mutates: true, handle: s.mutation(retryFields, s.retryTask)},
		{method: "POST", path: "/tasks/:id/cancel", access: accessOperate, mutates: true, handle: s.mutation(reasonFields, s.cancelTask)},
		{method: "GET", path: "/failed-tasks", access: accessRead, params: failed, handle: s.getDeadLetters},
		{method: "GET", path: "/failed-tasks/:id", access: accessRead, handle: s.getDeadLetter},
		{method: "POST", path: "/failed-tasks/:id/retry", access: accessOperate, mutates: true, handle: s.mutation(retryFields, s.retryDeadLetter)},
		{method: "POST", path: "/failed-tasks/:id/discard", access: accessOperate, mutates: true, handle: s.mutation(reasonFields, s.discardDeadLetter)},
		{method: "POST", path: "/failed-tasks/bulk-retry", access: accessOperate, mutates: true, slow: true, handle: s.change(s.postBulk(bulkRetry))},
		{method: "POST", path: "/failed-tasks/bulk-discard", access: accessOperate, mutates: true, slow: true, handle: s.change(s.postBulk(bulkDiscard))},
		{method: "GET", path: "/bulk", access: accessRead, params: append([]string{"status"}, page...), handle: s.getBulks},
		{method: "GET", path: "/bulk/:id", access: accessRead, handle: s.getBulk},
		{method: "GET", path: "/bulk/:id/items", access: accessRead, params: append([]string{"status"}, page...), handle: s.getBulkItems},
		{method: "POST", path: "/bulk/:id/pause", access: accessOperate, mutates: true, handle: s.change(s.bulkControl(bulkPaused))},
		{method: "POST", path: "/bulk/:id/resume", access: accessOperate, mutates: true, handle: s.change(s.bulkControl(bulkRunning))},
		{method: "POST", path: "/bulk/:id/abort", access: accessOperate, mutates: true, handle: s.change(s.bulkControl(bulkAborted))},
		{method: "GET", path: "/errors", access: accessRead, params: append([]string{"status", "from", "to"}, page...), handle: s.getErrors},
		{method: "POST", path: "/errors/:fingerprint/resolve", access: accessOperateAll, mutates: true, handle: s.change(s.errorGroupChange(groupResolved))},
		{method: "POST", path: "/errors/:fingerprint/ignore", access: accessOperateAll, mutates: true, handle: s.change(s.errorGroupChange(groupIgnored))},
		{method: "POST", path: "/errors/:fingerprint/reopen", access: accessOperateAll, mutates: true, handle: s.change(s.errorGroupChange(groupOpen))},
		{method: "GET", path: "/alerts", access: accessRead, params: append([]string{"state", "severity", "rule", "type", "queue", "agent", "provider", "user_id", "task_id", "acknowledged", "silenced", "text", "from", "to"}, page...), handle: s.getAlerts},
		{method: "GET", path: "/alerts/:id", access: accessRead, handle: s.getAlert},
		{method: "POST", path: "/alerts/:id/acknowledge", access: accessOperate, mutates: true, handle: s.change(s.acknowledgeAlert)},
		{method: "GET", path: "/silences", access: accessReadAll, params: []string{"state"}, handle: s.getSilences},
		{method: "POST", path: "/silences", access: accessOperateAll, mutates: true, handle: s.change(s.postSilence)},
		{method: "GET", path: "/silences/:id", access: accessReadAll, handle: s.getSilence},
		{method: "PUT", path: "/silences/:id", access: accessOperateAll, mutates: true, handle: s.change(s.putSilence)},
		{method: "DELETE", path: "/silences/:id", access: accessOperateAll, mutates: true, handle: s.change(s.deleteSilence)},
		{method: "GET", path: "/channels", access: accessReadAll, handle: s.getChannels},
		{method: "PUT", path: "/channels/:name", access: accessAdmin, mutates: true, handle: s.change(s.putChannel)},
		{method: "DELETE", path: "/channels/:name", access: accessAdmin, mutates: true, handle: s.change(s.deleteChannel)},
		{method: "POST", path: "/channels/:name/test", access: accessOperateAll, mutates: true, handle: s.change(s.testChannel)},
		{method: "GET", path: "/channels/:name/deliveries", access: accessReadAll, params: append([]string{"status", "alert_id"}, page...), handle: s.getDeliveries},
		{method: "POST", path: "/channels/:name/deliveries/:id/resend", access: accessOperateAll, mutates: true, handle: s.change(s.resendDelivery)},
		{method: "GET", path: "/rules", access: accessReadAll, handle: s.getRules},
		{method: "POST", path: "/rules/try", access: accessOperateAll, mutates: true, slow: true, handle: s.change(s.tryRule)},
		{method: "PUT", path: "/rules/:name", access: accessAdmin, mutates: true, handle: s.change(s.putRule)},
		{method: "DELETE", path: "/rules/:name", access: accessAdmin, mutates: true, handle: s.change(s.deleteRule)},
		{method: "GET", path: "/providers", access: accessReadAll, params: []string{"window"}, handle: s.getProviders},
		{method: "GET", path: "/providers/:name/history", access: accessReadAll, params: page, handle: s.getProviderHistory},
		{method: "GET", path: "/requeue-urls", access: accessOperateAll, handle: s.getRequeueURLs},
		{method: "PUT", path: "/requeue-urls/:queue", access: accessAdmin, mutates: true, handle: s.change(s.putRequeueURL)},
		{method: "DELETE", path: "/requeue-urls/:queue", access: accessAdmin, mutates: true, handle: s.change(s.deleteRequeueURL)},
		{method: "GET", path: "/keys", access: accessAdmin, handle: s.getKeys},
		{method: "POST", path: "/keys", access: accessAdmin, mutates: true, handle: s.change(s.postKey)},
		{method: "DELETE", path: "/keys/:id", access: accessAdmin, mutates: true, handle: s.change(s.deleteKey)},
		{method: "GET", path: "/audit", access: accessAdmin, params: append([]string{"actor", "action", "target", "result", "from", "to"}, page...), handle: s.getAudit},
		{method: "GET", path: "/stream", access: accessRead, params: []string{"topics"}, repeatable: []string{"topics"}, handle: s.getStream},
		{method: "POST", path: "/session", access: accessAny, mutates: true, handle: s.postSession},
		{method: "DELETE", path: "/session", access: accessAny, mutates: true, handle: s.deleteSession},
		{method: "GET", path: "/task-types/:name/usual", access: accessRead, handle: s.getUsual},
		{method: "GET", path: "/version", access: accessAny, handle: s.getVersion},
		{method: "GET", path: "/whoami", access: accessAny, handle: s.getWhoami},
	}
}

// allowed lists the methods of the routes that match a path, for Allow.
func (s *Server) allowed(path string) string {
	var methods []string
	for i := range s.routes {
		if r := &s.routes[i]; matches(base+r.path, path) && !slices.Contains(methods, r.method) {
			methods = append(methods, r.method)
		}
	}
	return strings.Join(methods, ", ")
}

func matches(pattern, path string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return false
	}
	for i, w := range want {
		if w != have[i] && (!strings.HasPrefix(w, ":") || have[i] == "") {
			return false
		}
	}
	return true
}
