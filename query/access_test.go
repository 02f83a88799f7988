package query

import (
	"slices"
	"strings"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
)

// TestAuthorizationMatrix asks every route with every kind of token. The target
// is a task or dead letter of user u1.
func TestAuthorizationMatrix(t *testing.T) {
	type row map[string]int
	read := row{
		"": 401, "unknown": 401, "broken": 503, "admin": 200, "reader": 200, "readerpayload": 200, "operator": 200,
		"blindoperator": 403, "user": 200, "useroperator": 200, "otheruser": 200, "userall": 200, "useless": 403,
		"payloadonly": 403, "ingest": 403, "agent": 403, "elsewhere": 200, "nothing": 403,
	}
	but := func(of row, changes ...any) row {
		r := row{}
		for k, v := range of {
			r[k] = v
		}
		for i := 0; i < len(changes); i += 2 {
			r[changes[i].(string)] = changes[i+1].(int)
		}
		return r
	}
	one := but(read, "otheruser", 404, "elsewhere", 404)
	operate := row{
		"": 401, "unknown": 401, "broken": 503, "admin": 202, "reader": 403, "readerpayload": 403, "operator": 202,
		"blindoperator": 202, "user": 403, "useroperator": 202, "otheruser": 404, "userall": 403, "useless": 403,
		"payloadonly": 403, "ingest": 403, "agent": 403, "elsewhere": 404, "nothing": 403,
	}
	valid := row{}
	for k, v := range read {
		if v == 403 {
			v = 200
		}
		valid[k] = v
	}
	whole := func(status int) row {
		r := row{}
		for k, v := range valid {
			if v == 200 {
				v = status
			}
			r[k] = v
		}
		return r
	}
	change := func(status int, changes ...any) row {
		r := but(operate)
		for k, v := range r {
			if v == 202 {
				r[k] = status
			}
		}
		return but(r, changes...)
	}
	everybody := but(read, "user", 403, "useroperator", 403, "otheruser", 403)
	everybodys := func(status int) row {
		return change(status, "useroperator", 403, "otheruser", 403, "elsewhere", status)
	}
	admin := row{}
	for k, v := range read {
		if admin[k] = 403; k == "admin" || v > 403 || v == 401 {
			admin[k] = v
		}
	}
	letter, alert := letterID("failed", 1), timeline.TaskAlertID("default", "failed").String()
	const selection = `{"filter":{"type":"payment"}}`
	matrix := map[string]struct {
		target string
		want   row
		body   string
	}{
		"POST /failed-tasks/bulk-retry":              {"/failed-tasks/bulk-retry", but(operate, "otheruser", 202, "elsewhere", 422), selection},
		"POST /failed-tasks/bulk-discard":            {"/failed-tasks/bulk-discard", but(operate, "otheruser", 202, "elsewhere", 422), selection},
		"GET /bulk":                                  {"/bulk", read, ""},
		"GET /bulk/:id":                              {"/bulk/" + testBulk, one, ""},
		"GET /bulk/:id/items":                        {"/bulk/" + testBulk + "/items", one, ""},
		"POST /bulk/:id/pause":                       {"/bulk/" + testBulk + "/pause", change(409), ""},
		"POST /bulk/:id/resume":                      {"/bulk/" + testBulk + "/resume", change(409), ""},
		"POST /bulk/:id/abort":                       {"/bulk/" + testBulk + "/abort", change(409), ""},
		"POST /errors/:fingerprint/resolve":          {"/errors/fp1:00/resolve", everybodys(200), ""},
		"POST /errors/:fingerprint/ignore":           {"/errors/fp1:00/ignore", everybodys(200), ""},
		"POST /errors/:fingerprint/reopen":           {"/errors/fp1:00/reopen", everybodys(200), ""},
		"GET /alerts":                                {"/alerts", read, ""},
		"GET /alerts/:id":                            {"/alerts/" + alert, one, ""},
		"POST /alerts/:id/acknowledge":               {"/alerts/" + alert + "/acknowledge", change(200), ""},
		"GET /silences":                              {"/silences", everybody, ""},
		"POST /silences":                             {"/silences", everybodys(201), `{"match":{"type":["payment"]},"duration":"1h","reason":"x"}`},
		"GET /silences/:id":                          {"/silences/" + testSilence, but(everybody, "elsewhere", 404), ""},
		"PUT /silences/:id":                          {"/silences/" + testSilence, but(everybodys(200), "elsewhere", 404), `{"match":{"type":["payment"]},"ends_at":"2200-01-01T00:00:00Z","starts_at":"2199-12-01T00:00:00Z","reason":"x"}`},
		"DELETE /silences/:id":                       {"/silences/" + testSilence, but(everybodys(204), "elsewhere", 404), ""},
		"GET /channels":                              {"/channels", everybody, ""},
		"PUT /channels/:name":                        {"/channels/on-call", but(admin, "admin", 201), `{"type":"webhook","url":"https://x.example.com/"}`},
		"DELETE /channels/:name":                     {"/channels/team", but(admin, "admin", 204), ""},
		"GET /rules":                                 {"/rules", everybody, ""},
		"POST /rules/try":                            {"/rules/try", everybodys(200), `{"rule":{"name":"x","kind":"lost_tasks"}}`},
		"PUT /rules/:name":                           {"/rules/x", but(admin, "admin", 201), `{"kind":"lost_tasks","above":3}`},
		"DELETE /rules/:name":                        {"/rules/too%20many", but(admin, "admin", 204), ""},
		"POST /channels/:name/test":                  {"/channels/hook/test", everybodys(200), ""},
		"GET /channels/:name/deliveries":             {"/channels/hook/deliveries", everybody, ""},
		"POST /channels/:name/deliveries/:id/resend": {"/channels/hook/deliveries/msg_1/resend", everybodys(202), ""},
		"GET /providers":                             {"/providers", everybody, ""},
		"GET /providers/:name/history":               {"/providers/bank/history", everybody, ""},
		"GET /requeue-urls":                          {"/requeue-urls", everybodys(200), ""},
		"PUT /requeue-urls/:queue":                   {"/requeue-urls/orders", admin, `{"url":"https://shop.example.com/requeue"}`},
		"DELETE /requeue-urls/:queue":                {"/requeue-urls/orders", but(admin, "admin", 204), ""},
		"GET /keys":                                  {"/keys", admin, ""},
		"POST /keys":                                 {"/keys", but(admin, "admin", 201), `{"name":"ci","scopes":["ingest"]}`},
		"DELETE /keys/:id":                           {"/keys/" + testKey, but(admin, "admin", 204), ""},
		"GET /tasks/monitoring/health":               {"/tasks/monitoring/health", read, ""},
		"GET /tasks/monitoring/history":              {"/tasks/monitoring/history", read, ""},
		"GET /tasks":                                 {"/tasks", read, ""},
		"GET /tasks/:id":                             {"/tasks/failed", one, ""},
		"GET /tasks/:id/timeline":                    {"/tasks/failed/timeline", one, ""},
		"GET /tasks/:id/attempts":                    {"/tasks/failed/attempts", one, ""},
		"POST /tasks/:id/retry":                      {"/tasks/failed/retry", operate, ""},
		"POST /tasks/:id/cancel":                     {"/tasks/running/cancel", operate, ""},
		"GET /failed-tasks":                          {"/failed-tasks", read, ""},
		"GET /failed-tasks/:id":                      {"/failed-tasks/" + letter, one, ""},
		"POST /failed-tasks/:id/retry":               {"/failed-tasks/" + letter + "/retry", operate, ""},
		"POST /failed-tasks/:id/discard":             {"/failed-tasks/" + letter + "/discard", operate, ""},
		"GET /errors":                                {"/errors", read, ""},
		"GET /stream":                                {"/stream?topics=task:failed", but(one, "elsewhere", 200), ""},
		"POST /session":                              {"/session", whole(201), ""},
		"DELETE /session":                            {"/session", whole(204), ""},
		"GET /task-types/:name/usual":                {"/task-types/payment/usual", read, ""},
		"GET /audit":                                 {"/audit", but(admin, "admin", 200), ""},
		"GET /version":                               {"/version", valid, ""},
		"GET /whoami":                                {"/whoami", valid, ""},
	}
	for _, rt := range (&Server{}).apiRoutes() {
		c, ok := matrix[rt.method+" "+rt.path]
		if !ok {
			t.Errorf("%s %s is not in the matrix", rt.method, rt.path)
			continue
		}
		for token, want := range c.want {
			t.Run(rt.method+" "+rt.path+" "+token, func(t *testing.T) {
				h := start(t)
				h.fill()
				if rt.path == "/stream" && want == 200 {
					h.stream("task:failed", token).close()
					return
				}
				h.operations()
				h.do(rt.method, base+c.target, token, c.body).want(want)
				if want >= 400 && h.store.Writes > 0 {
					t.Errorf("%d writes of a refused call", h.store.Writes)
				}
			})
		}
		for token := range kinds() {
			if _, ok := c.want[token]; !ok {
				t.Errorf("%s %s: the matrix lacks %s", rt.method, rt.path, token)
			}
		}
	}
}

// TestUsersSeeTheirOwnAlone looks for the other user's task in every list.
func TestUsersSeeTheirOwnAlone(t *testing.T) {
	h := start(t)
	h.fill()
	for _, target := range []string{"/tasks", "/failed-tasks", "/errors", "/tasks?user_id=u2", "/failed-tasks?user_id=u2", "/tasks?text=theirs", "/tasks/monitoring/health"} {
		mine, all := h.get(target, "user").want(200), h.get(target, "reader").want(200)
		if strings.Contains(string(mine.body), "theirs") || strings.Contains(string(mine.body), `"u2"`) {
			t.Errorf("%s shows u1 what is u2's: %s", target, mine.body)
		}
		if string(mine.body) == string(all.body) && !strings.HasPrefix(target, "/errors") {
			t.Errorf("%s shows u1 as much as everybody's reader", target)
		}
	}
	var v healthView
	h.get("/tasks/monitoring/health", "user").want(200).json(&v)
	if len(v.Queues) > 0 || len(v.ActiveBreakers) > 0 || v.QueueDepth != 0 || !slices.Contains(v.Omitted, "queues") {
		t.Errorf("health shows a user queues or breakers: %+v", v)
	}
}

func TestPayloadsNeedTheirScope(t *testing.T) {
	h := start(t)
	h.fill()
	h.post("/tasks/failed/retry", "operator", `{"input_patch":{"order":9}}`).want(202)
	for _, target := range []string{"/tasks/done", "/tasks/done/timeline", "/failed-tasks/" + letterID("failed", 1), "/tasks/failed/timeline"} {
		hidden, shown := h.get(target, "reader").want(200), h.get(target, "readerpayload").want(200)
		if strings.Contains(string(hidden.body), "4711") || strings.Contains(string(hidden.body), `"order"`) {
			t.Errorf("%s shows a payload: %s", target, hidden.body)
		}
		if !strings.Contains(string(hidden.body), `"omitted":["input"`) {
			t.Errorf("%s does not say what it left out: %s", target, hidden.body)
		}
		if !strings.Contains(string(shown.body), "4711") || strings.Contains(string(shown.body), "omitted") {
			t.Errorf("%s does not show the payload: %s", target, shown.body)
		}
	}
	if a := h.get("/tasks", "readerpayload"); strings.Contains(string(a.body), "4711") {
		t.Errorf("a list shows a payload: %s", a.body)
	}
	h.post("/tasks/theirs/retry", "blindoperator", `{"input_patch":{"order":9}}`).want(403, codeForbidden)
}

func TestNamespaces(t *testing.T) {
	h := start(t)
	h.fill()
	h.get("/tasks/failed?namespace=default", "reader").want(200)
	h.get("/tasks/failed?namespace=other", "reader").want(403, codeNamespaceForbidden)
	h.get("/tasks/failed?namespace=other", "admin").want(404, codeNotFound)
	h.get("/tasks/failed?namespace=*", "admin").want(400, codeInvalidParameter)
	h.post("/tasks/failed/retry?namespace=other", "operator", "").want(403, codeNamespaceForbidden)
}
