package query

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// A bulk action is kept as settings: its header under [timeline.SettingBulk]; and
// under a kind of its own, "bulk:" and its id, the dead letters it was frozen to
// and what became of each, in chunks, and its progress. Operators and the rare
// changes of status write the header, the process that does the work writes the
// rest, so that neither overwrites the other. What a crash leaves unwritten is on
// the tasks' timelines: each item is looked at anew before it is acted on.

const (
	bulkRetry   = "retry"
	bulkDiscard = "discard"

	// bulkChunk is how many items one setting holds: ids of 255 bytes in it stay well
	// below the limit of a setting.
	bulkChunk = 250
	// bulkAttribute is the attribute of an event that names the bulk action it was
	// part of.
	bulkAttribute = "bulk.id"

	bulkItemsSuffix    = "/items"
	bulkResultsSuffix  = "/results"
	bulkProgressRecord = "progress"
)

// bulkStatus is where a bulk action stands.
type bulkStatus string

const (
	bulkRunning bulkStatus = "running"
	bulkPaused  bulkStatus = "paused"
	// bulkStopped: a rule of its own stopped it; it can be resumed.
	bulkStopped   bulkStatus = "stopped"
	bulkAborted   bulkStatus = "aborted"
	bulkCompleted bulkStatus = "completed"
)

func (s bulkStatus) ended() bool { return s == bulkAborted || s == bulkCompleted }

func bulkStatuses() []bulkStatus {
	return []bulkStatus{bulkRunning, bulkPaused, bulkStopped, bulkAborted, bulkCompleted}
}

// itemStatus is what became of one dead letter of a bulk action.
type itemStatus string

const (
	itemWaiting itemStatus = "waiting" // not acted on yet
	itemRunning itemStatus = "running" // its retry was accepted
	itemOK      itemStatus = "succeeded"
	itemFailed  itemStatus = "failed"
	// itemSkipped: when its turn came nothing was to be done with it any more.
	itemSkipped   itemStatus = "skipped"
	itemDiscarded itemStatus = "discarded"
)

func itemStatuses() []itemStatus {
	return []itemStatus{itemWaiting, itemRunning, itemOK, itemFailed, itemSkipped, itemDiscarded}
}

// bulkStop says when a bulk action stops by itself.
type bulkStop struct {
	// FailureShare of the finished items that failed, 0 to 1; looked at from
	// MinFinished on, and after the canary.
	FailureShare float64 `json:"failure_share"`
	MinFinished  int     `json:"min_finished"`
	// OnBreakerOpen stops before an item whose provider's breaker is open.
	OnBreakerOpen bool `json:"on_breaker_open"`
}

// bulkProgress counts items by status.
type bulkProgress struct {
	Total     int `json:"total"`
	Waiting   int `json:"waiting"`
	Running   int `json:"running"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Discarded int `json:"discarded"`
	// Note says what holds it up for the moment.
	Note      string    `json:"note,omitempty"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

// bulkHeader is the body of a bulk action's setting.
type bulkHeader struct {
	ID     string     `json:"id"`
	Action string     `json:"action"`
	Status bulkStatus `json:"status"`
	// Why it has that status, where that does not go without saying.
	StatusReason string `json:"status_reason,omitempty"`
	// Reason is why the operator wants it.
	Reason    string    `json:"reason,omitempty"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// UserID is the user of the token that asked, where it sees that user's alone.
	UserID string          `json:"user_id,omitempty"`
	Filter json.RawMessage `json:"filter,omitempty"`
	Rate   float64         `json:"rate_per_second"`
	Canary int             `json:"canary,omitempty"`
	Stop   bulkStop        `json:"stop"`
	Total  int             `json:"total"`
	// PastFinished and PastFailed are those of before it was resumed: whoever resumed
	// knew of them, and they stop it no more.
	PastFinished int `json:"past_finished,omitempty"`
	PastFailed   int `json:"past_failed,omitempty"`
	// Progress is the final one of an action that ended.
	Progress *bulkProgress `json:"progress,omitempty"`
}

// bulkItem is one dead letter of a bulk action; its names are short because there
// are many.
type bulkItem struct {
	DeadLetter timeline.ID `json:"d"`
	TaskID     string      `json:"t"`
	Run        int         `json:"r"`
	Provider   string      `json:"p,omitempty"`
}

// bulkResult is what became of the item at an index.
type bulkResult struct {
	Status  itemStatus `json:"s"`
	NextRun int        `json:"n,omitempty"`
	Code    string     `json:"c,omitempty"`
	Detail  string     `json:"m,omitempty"`
	At      time.Time  `json:"at,omitzero"`
}

type bulkItemsChunk struct {
	Items []bulkItem `json:"items"`
}

// bulkResultsChunk has the results of the chunk's items in their order, up to the
// last that is not waiting.
type bulkResultsChunk struct {
	Results []bulkResult `json:"results"`
}

// bulkKind is the kind of the settings that belong to one bulk action.
func bulkKind(id string) string { return timeline.SettingBulk + ":" + id }

func bulkChunkID(n int, suffix string) string { return fmt.Sprintf("%05d%s", n, suffix) }

// bulkState is a bulk action with all its items.
type bulkState struct {
	namespace string
	header    bulkHeader
	items     []bulkItem
	results   []bulkResult
}

func (b *bulkState) scope() readmodel.Scope {
	return readmodel.Scope{Namespace: b.namespace, UserID: b.header.UserID}
}

func (b *bulkState) progress() bulkProgress {
	p := bulkProgress{Total: len(b.items)}
	for i := range b.results {
		switch b.results[i].Status {
		case itemRunning:
			p.Running++
		case itemOK:
			p.Succeeded++
		case itemFailed:
			p.Failed++
		case itemSkipped:
			p.Skipped++
		case itemDiscarded:
			p.Discarded++
		default:
			p.Waiting++
		}
	}
	return p
}

// bulkHeader reads the header of a bulk action the scope may see.
func (s *Server) bulkHeader(ctx context.Context, scope readmodel.Scope, id string) (bulkHeader, uint64, error) {
	v, err := s.settings.one(ctx, scope.Namespace, timeline.SettingBulk, id)
	if err != nil {
		return bulkHeader{}, 0, err
	}
	h, err := decodeSetting[bulkHeader](v)
	if err != nil {
		return h, 0, err
	}
	if scope.UserID != "" && h.UserID != scope.UserID {
		return h, 0, readmodel.ErrNotFound
	}
	return h, v.Version, nil
}

// loadBulk reads the items of a bulk action and what became of them.
func (s *Server) loadBulk(ctx context.Context, namespace string, h bulkHeader) (*bulkState, error) {
	rows, err := s.settings.all(ctx, namespace, bulkKind(h.ID))
	if err != nil {
		return nil, err
	}
	b := &bulkState{namespace: namespace, header: h, items: make([]bulkItem, 0, h.Total), results: make([]bulkResult, h.Total)}
	byID := make(map[string]timeline.StoredSetting, len(rows))
	for _, v := range rows {
		byID[v.ID] = v
	}
	for n := 0; len(b.items) < h.Total; n++ {
		v, ok := byID[bulkChunkID(n, bulkItemsSuffix)]
		if !ok {
			return nil, fmt.Errorf("bulk action %s: its items are not readable yet", h.ID)
		}
		chunk, err := decodeSetting[bulkItemsChunk](v)
		if err != nil {
			return nil, err
		}
		if len(chunk.Items) == 0 || len(b.items)+len(chunk.Items) > h.Total {
			return nil, fmt.Errorf("bulk action %s: chunk %d has %d items", h.ID, n, len(chunk.Items))
		}
		if v, ok := byID[bulkChunkID(n, bulkResultsSuffix)]; ok {
			done, err := decodeSetting[bulkResultsChunk](v)
			if err != nil {
				return nil, err
			}
			copy(b.results[len(b.items):min(len(b.items)+len(chunk.Items), h.Total)], done.Results)
		}
		b.items = append(b.items, chunk.Items...)
	}
	for i := range b.results {
		if b.results[i].Status == "" {
			b.results[i].Status = itemWaiting
		}
	}
	return b, nil
}
