package alerting

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// maxAnswerBytes is how much of an answer is read; its text is for the log.
const maxAnswerBytes = 4 << 10

// webhook calls a URL as Standard Webhooks (1.0) says.
type webhook struct {
	url    string
	keys   [][]byte
	client *http.Client
}

// webhookBody is the JSON body of a call.
type webhookBody struct {
	// Type is alert.firing, alert.resolved or alert.test.
	Type      string         `json:"type"`
	Timestamp time.Time      `json:"timestamp"`
	Data      timeline.Alert `json:"data"`
}

func newWebhook(c ChannelConfig) (*webhook, error) {
	w := &webhook{url: c.URL}
	for i, s := range c.Secrets {
		key, err := decodeSecret(s)
		if err != nil {
			return nil, fmt.Errorf("secrets[%d]: %w", i, err)
		}
		w.keys = append(w.keys, key)
	}
	dialer := &net.Dialer{Timeout: c.Timeout}
	if !c.AllowPrivate {
		dialer.Control = guard
	}
	w.client = &http.Client{
		Timeout: c.Timeout,
		// No proxy: the guard has to see the address that is called.
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: c.Timeout,
			MaxIdleConnsPerHost: c.Parallel, MaxConnsPerHost: c.Parallel, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w, nil
}

// Notify makes the call.
func (w *webhook) Notify(ctx context.Context, n Notification) error {
	kind := "alert." + string(n.Alert.State)
	if n.Alert.Rule == testRule {
		kind = "alert.test"
	}
	body, err := json.Marshal(webhookBody{Type: kind, Timestamp: n.CreatedAt, Data: n.Alert})
	if err != nil {
		return &DeliveryError{Permanent: true, Err: fmt.Errorf("encode: %w", err)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return &DeliveryError{Permanent: true, Err: scrubURL(err)}
	}
	id, now := n.ID.String(), time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "tasktrail")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("webhook-signature", sign(w.keys, id, now, body))
	res, err := w.client.Do(req)
	if err != nil {
		return &DeliveryError{Err: scrubURL(err)}
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	failed := &DeliveryError{
		Status: res.StatusCode, After: retryAfter(res.Header.Get("Retry-After"), now),
		Err: fmt.Errorf("%s %.200q", http.StatusText(res.StatusCode), strings.ToValidUTF8(string(answer), "\uFFFD")),
	}
	switch outcomeOf(res.StatusCode) {
	case delivered:
		return nil
	case refused:
		failed.Permanent = true
	case gone:
		failed.Gone = true
	}
	return failed
}

// scrubURL drops the URL from a *url.Error: paths of webhooks are secrets.
func scrubURL(err error) error {
	var u interface{ Unwrap() error }
	if errors.As(err, &u) {
		if inner := u.Unwrap(); inner != nil {
			return inner
		}
	}
	return errors.New("the call failed")
}

// close gives idle connections up.
func (w *webhook) close() { w.client.CloseIdleConnections() }

// sign gives a signature for each key: v1 and the HMAC-SHA256 over id, time and
// body.
func sign(keys [][]byte, id string, at time.Time, body []byte) string {
	var b strings.Builder
	for i, key := range keys {
		h := hmac.New(sha256.New, key)
		fmt.Fprintf(h, "%s.%d.", id, at.Unix())
		h.Write(body)
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("v1,")
		b.WriteString(base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return b.String()
}
