package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/collector"
)

// CollectorLedger asks the collector at url what it accepted and what became of
// it; the token must be one that may operate in every namespace.
func CollectorLedger(ctx context.Context, url, token string) (collector.Ledger, error) {
	var l collector.Ledger
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/v1/ledger", nil)
	if err != nil {
		return l, fmt.Errorf("ledger of %s: %w", url, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return l, fmt.Errorf("ledger of %s: %w", url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return l, fmt.Errorf("ledger of %s: read the answer: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return l, fmt.Errorf("ledger of %s: %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
	}
	if err := json.Unmarshal(body, &l); err != nil {
		return l, fmt.Errorf("ledger of %s: decode the answer: %w", url, err)
	}
	return l, nil
}
