package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// How long the operator of the demonstration takes to see what there is to do.
const (
	cancelAfter = 4 * time.Second
	retryAfter  = 15 * time.Second
)

// operator does what somebody at the live UI does: it stops a task that nobody
// wants any more, and retries one whose trouble was mended.
type operator struct {
	url, token, namespace string
	client                *http.Client
}

func newOperator(cfg Config) *operator {
	return &operator{cfg.APIURL, cfg.Token, cfg.Namespace, &http.Client{Timeout: 10 * time.Second}}
}

// watch does after a while what is done about tasks of a plan, if anything is.
func (o *operator) watch(ctx context.Context, plan, id string) error {
	var after time.Duration
	var verb, reason string
	switch plan {
	case planUnwanted:
		after, verb, reason = cancelAfter, "cancel", "the customer changed their mind"
	case planMailbox:
		after, verb, reason = retryAfter, "retry", "the address was mended"
	default:
		return nil
	}
	if pause(ctx, backlog+after) != nil {
		return nil
	}
	body, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	at := o.url + "/api/v1/tasks/" + url.PathEscape(id) + "/" + verb + "?namespace=" + url.QueryEscape(o.namespace)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := o.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusAccepted && res.StatusCode != http.StatusConflict { // somebody may have been quicker
		text, _ := io.ReadAll(io.LimitReader(res.Body, 512))
		return fmt.Errorf("%s %s: %s: %s", verb, id, res.Status, text)
	}
	return nil
}
