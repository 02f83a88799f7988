package query

import (
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/tasktrail/tasktrail/timeline"
)

// document is the OpenAPI document as a model.
func document(t *testing.T) *v3.Document {
	t.Helper()
	doc, err := libopenapi.NewDocument(OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	return &model.Model
}

// TestRoutesAreDocumented holds the table of routes and the document's paths
// against each other, parameters included.
func TestRoutesAreDocumented(t *testing.T) {
	inDocument := map[string][]string{} // "GET /path" → query parameters
	for path, item := range document(t).Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			names := []string{}
			for _, p := range append(slices.Clone(item.Parameters), op.Parameters...) {
				if p.In == "query" {
					names = append(names, p.Name)
				}
			}
			slices.Sort(names)
			inDocument[strings.ToUpper(method)+" "+path] = names
		}
	}
	served := []string{"GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.yaml"}
	for _, r := range (&Server{}).apiRoutes() {
		key := r.method + " " + base + documented(r.path)
		served = append(served, key)
		want := append(slices.Clone(r.params), "namespace")
		slices.Sort(want)
		if got, ok := inDocument[key]; !ok || !slices.Equal(got, want) {
			t.Errorf("%s: the document has the parameters %v, the route takes %v", key, got, want)
		}
	}
	for key := range inDocument {
		if !slices.Contains(served, key) {
			t.Errorf("%s is documented and not served", key)
		}
	}
	if len(served) != len(inDocument) {
		t.Errorf("%d routes are served, %d documented", len(served), len(inDocument))
	}
}

func TestDocumentIsValid(t *testing.T) {
	v, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	if ok, errs := v.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Error(e)
			for _, s := range e.SchemaValidationErrors {
				t.Error(s.FieldPath, s.Reason)
			}
		}
	}
}

// TestEveryRouteAnswersAsDocumented asks every route for its best answer; the
// harness holds each against the document.
func TestEveryRouteAnswersAsDocumented(t *testing.T) {
	h := start(t)
	h.fill()
	h.operations()
	for _, c := range []struct {
		method, target, body string
		status               int
	}{
		{"GET", "/tasks/monitoring/health", "", 200},
		{"GET", "/tasks/monitoring/history", "", 200},
		{"GET", "/tasks/monitoring/history?window=30d&step=6h&type=payment", "", 200},
		{"GET", "/tasks?limit=2", "", 200},
		{"GET", "/tasks/failed", "", 200},
		{"GET", "/tasks/done", "", 200},
		{"GET", "/tasks/failed/timeline", "", 200},
		{"GET", "/tasks/failed/attempts", "", 200},
		{"POST", "/tasks/failed/retry", `{"reason":"the bank is back","input_patch":{"order":4712}}`, 202},
		{"GET", "/tasks/failed/timeline", "", 200},
		{"POST", "/tasks/running/cancel", `{"reason":"no longer wanted"}`, 202},
		{"GET", "/failed-tasks?limit=1", "", 200},
		{"GET", "/failed-tasks/" + letterID("failed", 1), "", 200},
		{"POST", "/failed-tasks/" + letterID("theirs", 1) + "/retry", "", 202},
		{"POST", "/tasks/cancelled/retry", "", 202},
		{"GET", "/failed-tasks/" + letterID("cancelled", 1), "", 200},
		{"GET", "/errors", "", 200},
		{"GET", "/tasks?payment_reference=ord-4711", "", 200},
		{"GET", "/task-types/payment/usual", "", 200},
		{"GET", "/version", "", 200},
		{"GET", "/whoami", "", 200},
		{"POST", "/failed-tasks/bulk-retry", `{"filter":{"type":["payment"]},"dry_run":true}`, 200},
		{"GET", "/bulk", "", 200},
		{"GET", "/bulk/" + testBulk, "", 200},
		{"GET", "/bulk/" + testBulk + "/items", "", 200},
		{"POST", "/errors/fp1:0011223344556677/resolve", `{"reason":"mended"}`, 200},
		{"GET", "/errors?status=resolved,regressed", "", 200},
		{"GET", "/alerts", "", 200},
		{"GET", "/alerts/" + timeline.TaskAlertID("default", "failed").String(), "", 200},
		{"POST", "/alerts/" + timeline.TaskAlertID("default", "failed").String() + "/acknowledge", `{"reason":"calling the bank"}`, 200},
		{"GET", "/alerts?acknowledged=false", "", 200},
		{"GET", "/alerts?state=pending", "", 200},
		{"POST", "/silences", `{"match":{"provider":["bank"],"severity":["high"]},"duration":"2h","reason":"being mended"}`, 201},
		{"GET", "/silences?state=active", "", 200},
		{"GET", "/silences/" + testSilence, "", 200},
		{"PUT", "/silences/" + testSilence, `{"match":{"provider":["bank"]},"starts_at":"2199-12-01T00:00:00Z","ends_at":"2200-01-01T00:00:00Z","reason":"later"}`, 200},
		{"DELETE", "/silences/" + testSilence, "", 204},
		{"GET", "/silences/" + testSilence, "", 404},
		{"GET", "/channels", "", 200},
		{"PUT", "/channels/on-call", `{"type":"webhook","url":"https://hooks.example.com/x","min_severity":"critical","reason":"we are on call"}`, 201},
		{"PUT", "/channels/on-call", `{"type":"webhook","rotate_secret":true}`, 200},
		{"DELETE", "/channels/on-call", "", 204},
		{"GET", "/channels", "", 200},
		{"GET", "/rules", "", 200},
		{"POST", "/rules/try", `{"rule":{"name":"x","kind":"failure_rate","above":"20%"},"since":"24h"}`, 200},
		{"PUT", "/rules/payments%20fail", `{"kind":"failure_rate","above":"20%","match":{"type":"payment*"}}`, 201},
		{"PUT", "/rules/payments%20fail", `{"kind":"failure_rate","above":"30%"}`, 200},
		{"DELETE", "/rules/payments%20fail", "", 204},
		{"POST", "/channels/hook/test", "", 200},
		{"GET", "/channels/hook/deliveries?status=failed", "", 200},
		{"POST", "/channels/hook/deliveries/msg_1/resend", "", 202},
		{"GET", "/providers?window=7d", "", 200},
		{"GET", "/providers/bank/history", "", 200},
		{"GET", "/requeue-urls", "", 200},
		{"PUT", "/requeue-urls/orders", `{"url":"https://shop.example.com/requeue","rotate_secret":true}`, 200},
		{"PUT", "/requeue-urls/mail", `{"url":"https://shop.example.com/requeue","keeps_input":true,"reason":"the workers are in Node"}`, 201},
		{"DELETE", "/requeue-urls/mail", "", 204},
		{"GET", "/keys", "", 200},
		{"POST", "/keys", `{"name":"ci","scopes":["ingest"],"expires_in":"90d"}`, 201},
		{"DELETE", "/keys/" + testKey, "", 204},
		{"GET", "/audit?limit=3", "", 200},
		{"POST", "/session", "", 201},
		{"DELETE", "/session", "", 204},
	} {
		h.do(c.method, base+c.target, "admin", c.body).want(c.status)
	}
	h.do("GET", "/healthz", "", "").want(200)
	h.do("GET", "/readyz", "", "").want(200)
	h.do("GET", "/metrics", "", "").want(200)
	if a := h.do("GET", "/openapi.yaml", "", "").want(200); string(a.body) != string(OpenAPI) {
		t.Error("the document that is served is another one")
	}
}
