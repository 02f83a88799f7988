package query

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	maxBulkRate     = 1_000
	defaultBulkRate = 10
	defaultShare    = 0.5
	defaultFinished = 10
	// summaryRows bounds the groups a dry run tells of one kind.
	summaryRows = 20
)

// bulkBody is what an operator asks for.
type bulkBody struct {
	Filter json.RawMessage `json:"filter"`
	IDs    []string        `json:"ids"`
	Reason string          `json:"reason"`
	DryRun bool            `json:"dry_run"`
	Rate   float64         `json:"rate_per_second"`
	Canary int             `json:"canary"`
	Stop   *struct {
		FailureShare  *float64 `json:"failure_share"`
		MinFinished   *int     `json:"min_finished"`
		OnBreakerOpen *bool    `json:"on_breaker_open"`
	} `json:"stop"`
}

// bulkCount is a group of a dry run.
type bulkCount struct {
	Key   string `json:"key"`
	Count int    `json:"count"`
	// Sample is an error message of the group.
	Sample string `json:"sample,omitempty"`
}

// bulkSummary is the answer to a dry run: what would be acted on now.
type bulkSummary struct {
	DryRun bool `json:"dry_run"`
	Total  int  `json:"total"`
	// NotReplayable and NotRequeueable would be skipped.
	NotReplayable  int         `json:"not_replayable"`
	NotRequeueable int         `json:"not_requeueable"`
	ByFingerprint  []bulkCount `json:"by_fingerprint"`
	ByType         []bulkCount `json:"by_type"`
	ByReason       []bulkCount `json:"by_reason"`
	ByAge          []bulkCount `json:"by_age"`
	OldestAt       time.Time   `json:"oldest_at,omitzero"`
	NewestAt       time.Time   `json:"newest_at,omitzero"`
}

// postBulk makes the handler that starts a bulk action.
func (s *Server) postBulk(action string) func(*request, []byte) (reply, error) {
	return func(r *request, body []byte) (reply, error) {
		var in bulkBody
		if err := decodeBody(r, body, &in); err != nil {
			return reply{}, err
		}
		h, err := s.newBulk(r, action, in)
		if err != nil {
			return reply{}, err
		}
		if in.DryRun {
			if err := accessRead.check(r.principal); err != nil {
				return reply{}, err
			}
		} else if s.deps.Settings == nil || s.deps.Writer == nil || (action == bulkRetry && s.deps.Claimer == nil) {
			return reply{}, unavailable("what works on bulk actions", nil)
		}
		letters, err := s.selectLetters(r.ctx, r.scope, in)
		if err != nil {
			return reply{}, err
		}
		r.audit = append(r.audit, "reason", in.Reason, "dry_run", in.DryRun, "items", len(letters))
		if in.DryRun {
			return reply{status: fiber.StatusOK, body: s.summary(letters)}, nil
		}
		if len(letters) == 0 {
			return reply{}, fail(codeNothingSelected, "no pending dead letter fits")
		}
		r.audit = append(r.audit, "bulk_id", h.ID)
		h.Total = len(letters)
		if err := s.freezeBulk(r.ctx, r.scope.Namespace, h, letters); err != nil {
			return reply{}, err
		}
		s.bulks.wake()
		return reply{
			status: fiber.StatusAccepted, location: s.withNamespace(r.scope, base+"/bulk/"+h.ID),
			body: viewBulk(h, bulkProgress{Total: h.Total, Waiting: h.Total}),
		}, nil
	}
}

// newBulk checks what was asked for and makes the header of it.
func (s *Server) newBulk(r *request, action string, in bulkBody) (bulkHeader, error) {
	now := s.now().UTC()
	h := bulkHeader{
		ID: s.ids.Next(now).String(), Action: action, Status: bulkRunning, Reason: in.Reason, CreatedBy: r.principal.ID,
		CreatedAt: now, UpdatedAt: now, UserID: r.scope.UserID, Filter: in.Filter, Rate: defaultBulkRate, Canary: in.Canary,
		Stop: bulkStop{FailureShare: defaultShare, MinFinished: defaultFinished, OnBreakerOpen: action == bulkRetry},
	}
	if err := checkReason(in.Reason); err != nil {
		return h, err
	}
	if in.Rate != 0 {
		if math.IsNaN(in.Rate) || in.Rate < 0.01 || in.Rate > maxBulkRate {
			return h, wrongBody("rate_per_second", "want a number from 0.01 to %d", maxBulkRate)
		}
		h.Rate = in.Rate
	}
	if in.Canary < 0 || in.Canary > s.cfg.MaxBulkItems {
		return h, wrongBody("canary", "want a whole number from 0 to %d", s.cfg.MaxBulkItems)
	}
	if action == bulkDiscard && in.Canary > 0 {
		return h, wrongBody("canary", "a discarded dead letter has no outcome to wait for")
	}
	if st := in.Stop; st != nil {
		if v := st.FailureShare; v != nil {
			if *v < 0 || *v > 1 {
				return h, wrongBody("stop.failure_share", "want a number from 0 to 1")
			}
			h.Stop.FailureShare = *v
		}
		if v := st.MinFinished; v != nil {
			if *v < 1 || *v > s.cfg.MaxBulkItems {
				return h, wrongBody("stop.min_finished", "want a whole number from 1 to %d", s.cfg.MaxBulkItems)
			}
			h.Stop.MinFinished = *v
		}
		if v := st.OnBreakerOpen; v != nil {
			h.Stop.OnBreakerOpen = *v
		}
	}
	return h, nil
}

// selectLetters reads the pending dead letters that were asked for, by filter or by
// ids, oldest first: what waited longest goes first.
func (s *Server) selectLetters(ctx context.Context, scope readmodel.Scope, in bulkBody) ([]timeline.DeadLetter, error) {
	filters, err := s.bulkFilters(in)
	if err != nil {
		return nil, err
	}
	var all []timeline.DeadLetter
	for _, f := range filters {
		page := readmodel.Page{Limit: maxLimit}
		for {
			rows, err := s.deps.Reader.DeadLetters(ctx, scope, f, page)
			if err != nil {
				return nil, readFailure("select dead letters", err)
			}
			for _, d := range rows.Rows {
				// Only what the freeze needs is kept of each: there may be many.
				d.Attempts, d.Input, d.Output, d.Metadata, d.Sealed = nil, nil, nil, nil, nil
				all = append(all, d)
			}
			if len(all) > s.cfg.MaxBulkItems {
				return nil, fail(codeTooMany, "more than %d dead letters fit, the limit of one bulk action; narrow the filter, such as by time", s.cfg.MaxBulkItems)
			}
			if rows.Next == nil {
				break
			}
			page.After = rows.Next
		}
	}
	slices.SortFunc(all, func(a, b timeline.DeadLetter) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID.String(), b.ID.String()))
	})
	return slices.CompactFunc(all, func(a, b timeline.DeadLetter) bool { return a.ID == b.ID }), nil
}

// bulkFilters are the reads that find what was asked for: one for a filter, and
// for ids one for each page of them.
func (s *Server) bulkFilters(in bulkBody) ([]readmodel.DeadLetterFilter, error) {
	hasFilter := len(in.Filter) > 0 && !bytes.Equal(bytes.TrimSpace(in.Filter), []byte("null"))
	switch {
	case hasFilter == (len(in.IDs) > 0):
		return nil, wrongBody("filter", "give a filter that names at least one field, or ids; one of the two")
	case hasFilter:
		f, err := parseBulkFilter(in.Filter)
		return []readmodel.DeadLetterFilter{f}, err
	case len(in.IDs) > s.cfg.MaxBulkItems:
		return nil, wrongBody("ids", "%d ids, the limit is %d", len(in.IDs), s.cfg.MaxBulkItems)
	}
	var filters []readmodel.DeadLetterFilter
	for part := range slices.Chunk(in.IDs, maxLimit) {
		f := readmodel.DeadLetterFilter{Statuses: []timeline.DeadLetterStatus{timeline.DeadLetterPending}}
		for _, text := range part {
			id, err := timeline.ParseID(text)
			if err != nil || id.IsZero() {
				return nil, wrongBody("ids", "%q is no dead letter's id: want 36 characters", printable(text))
			}
			f.IDs = append(f.IDs, id)
		}
		filters = append(filters, f)
	}
	return filters, nil
}

// parseBulkFilter reads a filter in a body, whose fields are the parameters of the
// list of dead letters: text, or a list of texts for alternatives.
func parseBulkFilter(raw json.RawMessage) (readmodel.DeadLetterFilter, error) {
	var fields map[string]json.RawMessage
	var none readmodel.DeadLetterFilter
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return none, wrongBody("filter", "want an object")
	}
	allowed := slices.DeleteFunc(slices.Clone(letterParams), func(n string) bool { return n == "status" })
	p := &params{values: map[string][]string{}}
	for name, value := range fields {
		if !slices.Contains(allowed, name) {
			return none, wrongBody("filter."+printable(name), "there is no such field here; there are: %s", strings.Join(allowed, ", "))
		}
		text, err := filterText(value)
		switch {
		case err != nil:
			return none, wrongBody("filter."+name, "%s", err)
		case len(text) > maxParamBytes || strings.IndexByte(text, 0) >= 0:
			return none, wrongBody("filter."+name, "want at most %d bytes without NUL", maxParamBytes)
		}
		p.values[name] = []string{text}
	}
	if len(fields) == 0 {
		return none, wrongBody("filter", "name at least one field: an empty filter would select every dead letter")
	}
	f := letterFilter(p)
	if p.first != nil {
		return none, wrongBody("filter."+p.first.field, "%s", p.first.detail)
	}
	f.Statuses = []timeline.DeadLetterStatus{timeline.DeadLetterPending}
	return f, nil
}

// filterText is a value of a filter as the query parameter of its name has it.
func filterText(raw json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil && raw[0] == '"' {
		if text == "" {
			return "", fmt.Errorf("must not be empty; leave it out instead")
		}
		return text, nil
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		return strings.Join(list, ","), nil
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil && raw[0] != '"' && number != "" {
		return number.String(), nil
	}
	return "", fmt.Errorf("want a text or a list of texts")
}

// freezeBulk writes what the action is about before it writes that there is one.
func (s *Server) freezeBulk(ctx context.Context, namespace string, h bulkHeader, letters []timeline.DeadLetter) error {
	by := timeline.Operator{Actor: h.CreatedBy, Reason: h.Reason}
	n := 0
	for part := range slices.Chunk(letters, bulkChunk) {
		chunk := bulkItemsChunk{Items: make([]bulkItem, len(part))}
		for i, d := range part {
			chunk.Items[i] = bulkItem{d.ID, d.Task.ID, d.Run, d.Provider}
		}
		if _, err := s.setAfter(ctx, namespace, bulkKind(h.ID), bulkChunkID(n, bulkItemsSuffix), 0, chunk, by); err != nil {
			return err
		}
		n++
	}
	_, err := s.setAfter(ctx, namespace, timeline.SettingBulk, h.ID, 0, h, by)
	return err
}

func (s *Server) summary(letters []timeline.DeadLetter) bulkSummary {
	v := bulkSummary{DryRun: true, Total: len(letters)}
	now := s.now()
	prints, types, reasons, ages := counts{}, counts{}, counts{}, counts{}
	for i := range letters {
		d := &letters[i]
		fingerprint, message := "", ""
		if d.Error != nil {
			fingerprint, message = d.Error.Fingerprint, d.Error.Message
		}
		prints.add(fingerprint, message)
		types.add(d.Type, "")
		reasons.add(string(d.Reason), "")
		ages.add(ageOf(now.Sub(d.CreatedAt)), "")
		if !d.Replayable {
			v.NotReplayable++
		} else if !d.Requeueable {
			v.NotRequeueable++
		}
	}
	if len(letters) > 0 {
		v.OldestAt, v.NewestAt = letters[0].CreatedAt, letters[len(letters)-1].CreatedAt
	}
	v.ByFingerprint, v.ByType, v.ByReason, v.ByAge = prints.most(), types.most(), reasons.most(), ages.most()
	return v
}

// ageOf names how long ago something was.
func ageOf(d time.Duration) string {
	switch {
	case d < time.Hour:
		return "1h"
	case d < 24*time.Hour:
		return "24h"
	case d < 7*24*time.Hour:
		return "7d"
	default:
		return "older"
	}
}

// counts counts by key.
type counts map[string]*bulkCount

func (c counts) add(key, sample string) {
	if c[key] == nil {
		c[key] = &bulkCount{Key: key, Sample: sample}
	}
	c[key].Count++
}

// most are the largest groups, the rest of them gathered under an ellipsis.
func (c counts) most() []bulkCount {
	all := make([]bulkCount, 0, len(c))
	for _, v := range c {
		all = append(all, *v)
	}
	slices.SortFunc(all, func(a, b bulkCount) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Key, b.Key)) })
	if len(all) > summaryRows {
		rest := bulkCount{Key: "…"}
		for _, v := range all[summaryRows:] {
			rest.Count += v.Count
		}
		all = append(all[:summaryRows], rest)
	}
	return all
}
