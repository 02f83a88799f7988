package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/alerting"
	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/query"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Where query runs apart, the channels are in the collectors, each with what it
// delivered itself: query asks them over Redis. Whoever may write to Redis may
// ask; what can be asked for is what operators may do, and no secret is told.
const (
	askName = "alerting"
	// askFor bounds one question; a channel's own time bounds the call of a test.
	askFor     = 5 * time.Second
	askTestFor = 30 * time.Second
	// maxAskedDeliveries bounds what one collector tells of a channel's log.
	maxAskedDeliveries = 1_000
)

// alertQuestion is what a collector is asked.
type alertQuestion struct {
	Op      string                   `json:"op"` // channels, rules, test, deliveries, resend
	Scope   readmodel.Scope          `json:"scope"`
	Channel string                   `json:"channel,omitempty"`
	ID      string                   `json:"id,omitempty"`
	Filter  readmodel.DeliveryFilter `json:"filter,omitzero"`
}

// alertAnswer is what it says.
type alertAnswer struct {
	readmodel.AlertRules
	Channels   []readmodel.Channel  `json:"channels,omitempty"`
	Deliveries []readmodel.Delivery `json:"deliveries,omitempty"`
	NotFound   bool                 `json:"not_found,omitempty"`
	Error      string               `json:"error,omitempty"`
}

// answerAlertQuestions answers for this process's alerting until ctx ends.
func answerAlertQuestions(ctx context.Context, book alertBook, l *live.Live) error {
	return l.Answer(ctx, askName, book.alerting.Holder(), func(ctx context.Context, body []byte) []byte {
		var q alertQuestion
		out := alertAnswer{}
		err := json.Unmarshal(body, &q)
		if err == nil {
			out, err = book.answer(ctx, &q)
		}
		if err != nil {
			out = alertAnswer{Error: err.Error(), NotFound: errors.Is(err, readmodel.ErrNotFound)}
		}
		b, err := json.Marshal(out)
		if err != nil {
			return []byte(`{"error":"the answer can't be encoded"}`)
		}
		return b
	})
}

func (b alertBook) answer(ctx context.Context, q *alertQuestion) (out alertAnswer, err error) {
	one := func(d readmodel.Delivery, err error) (alertAnswer, error) {
		return alertAnswer{Deliveries: []readmodel.Delivery{d}}, err
	}
	switch q.Op {
	case "channels":
		out.Channels, err = b.Channels(ctx)
		return out, err
	case "rules":
		out.AlertRules, err = b.Rules(ctx)
		return out, err
	case "test":
		return one(b.TestChannel(ctx, q.Scope.Namespace, q.Channel))
	case "deliveries":
		list, err := b.Deliveries(ctx, q.Scope, q.Filter, readmodel.Page{Limit: maxAskedDeliveries})
		return alertAnswer{Deliveries: list.Rows}, err
	case "resend":
		return one(b.Resend(ctx, q.Scope, q.Channel, q.ID))
	}
	return out, fmt.Errorf("there is no question %.32q", q.Op)
}

// askedAlerting is the channels and rules of the collectors, asked over Redis;
// of this process's own where it has some.
type askedAlerting struct {
	live *live.Live
	own  *alerting.Alerting
}

// collectors are those that raise alerts, always in the same order.
func (s askedAlerting) collectors(ctx context.Context) ([]string, error) {
	holders, err := s.live.Sharers(ctx, sharedAlertsName)
	if s.own != nil {
		if !slices.Contains(holders, s.own.Holder()) {
			holders = append(holders, s.own.Holder())
		}
		err = nil // with Redis away this one can still be asked
	}
	if err == nil && len(holders) == 0 {
		err = query.ErrNoAlerting
	}
	slices.Sort(holders)
	return holders, err
}

func (s askedAlerting) ask(ctx context.Context, holder string, q *alertQuestion, within time.Duration) (alertAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if s.own != nil && holder == s.own.Holder() {
		return alertBook{s.own}.answer(ctx, q)
	}
	var out alertAnswer
	body, err := json.Marshal(q)
	if err != nil {
		return out, fmt.Errorf("ask a collector: %w", err)
	}
	b, err := s.live.Ask(ctx, askName, holder, body)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("read what collector %s answered: %w", holder, err)
	}
	switch {
	case out.NotFound:
		return out, fmt.Errorf("collector %s: %w", holder, readmodel.ErrNotFound)
	case out.Error != "":
		return out, fmt.Errorf("collector %s: %s", holder, out.Error)
	}
	return out, nil
}

// all asks every collector at once, and gives what those said that answered; an
// error says that none did.
func (s askedAlerting) all(ctx context.Context, q *alertQuestion) ([]alertAnswer, error) {
	holders, err := s.collectors(ctx)
	if err != nil {
		return nil, err
	}
	answers, errs := make([]alertAnswer, len(holders)), make([]error, len(holders))
	var wg sync.WaitGroup
	for i, h := range holders {
		wg.Go(func() { answers[i], errs[i] = s.ask(ctx, h, q, askFor) })
	}
	wg.Wait()
	var out []alertAnswer
	for i := range answers {
		if errs[i] == nil {
			out = append(out, answers[i])
		}
	}
	if len(out) == 0 {
		return nil, worst(errs)
	}
	return out, nil
}

// worst is why nobody answered: that there is nothing, where all say so.
func worst(errs []error) error {
	for _, err := range errs {
		if !errors.Is(err, readmodel.ErrNotFound) {
			if errors.Is(err, live.ErrNoAnswer) {
				return fmt.Errorf("%w: %w", query.ErrNoAlerting, err)
			}
			return err
		}
	}
	return errors.Join(errs...)
}

// first asks one collector after the other until one does what it is asked for.
func (s askedAlerting) first(ctx context.Context, q *alertQuestion, within time.Duration) (alertAnswer, error) {
	holders, err := s.collectors(ctx)
	if err != nil {
		return alertAnswer{}, err
	}
	var errs []error
	for _, h := range holders {
		out, err := s.ask(ctx, h, q, within)
		if err == nil {
			return out, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, readmodel.ErrNotFound) && !errors.Is(err, live.ErrNoAnswer) {
			break // it may be under way there
		}
	}
	return alertAnswer{}, worst(errs)
}

func oneDelivery(a alertAnswer, err error) (readmodel.Delivery, error) {
	if err == nil && len(a.Deliveries) != 1 {
		err = errors.New("a collector answered without a delivery")
	}
	if err != nil {
		return readmodel.Delivery{}, err
	}
	return a.Deliveries[0], nil
}

// Channels lists the channels; what each collector counted is added up.
func (s askedAlerting) Channels(ctx context.Context) ([]readmodel.Channel, error) {
	answers, err := s.all(ctx, &alertQuestion{Op: "channels"})
	if err != nil {
		return nil, err
	}
	var out []readmodel.Channel
	for _, a := range answers {
		for _, c := range a.Channels {
			i := slices.IndexFunc(out, func(o readmodel.Channel) bool { return o.Name == c.Name && o.Namespace == c.Namespace })
			if i < 0 {
				out = append(out, c)
				continue
			}
			addChannel(&out[i], &c)
		}
	}
	slices.SortFunc(out, func(x, y readmodel.Channel) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Namespace, y.Namespace))
	})
	return out, nil
}

func addChannel(c, other *readmodel.Channel) {
	c.Waiting += other.Waiting
	if c.OldestWaitingAt.IsZero() || !other.OldestWaitingAt.IsZero() && other.OldestWaitingAt.Before(c.OldestWaitingAt) {
		c.OldestWaitingAt = other.OldestWaitingAt
	}
	c.Delivered, c.Failed, c.Dropped = c.Delivered+other.Delivered, c.Failed+other.Failed, c.Dropped+other.Dropped
	c.Disabled = cmp.Or(c.Disabled, other.Disabled)
	if other.LastSuccessAt.After(c.LastSuccessAt) {
		c.LastSuccessAt = other.LastSuccessAt
	}
	if other.LastFailureAt.After(c.LastFailureAt) {
		c.LastFailureAt, c.LastError = other.LastFailureAt, other.LastError
	}
}

// Rules lists the rules, as one of the collectors tells them.
func (s askedAlerting) Rules(ctx context.Context) (readmodel.AlertRules, error) {
	a, err := s.first(ctx, &alertQuestion{Op: "rules"}, askFor)
	return a.AlertRules, err
}

// TestChannel lets one of the collectors send a test.
func (s askedAlerting) TestChannel(ctx context.Context, namespace, name string) (readmodel.Delivery, error) {
	return oneDelivery(s.first(ctx, &alertQuestion{Op: "test", Scope: readmodel.Scope{Namespace: namespace}, Channel: name}, askTestFor))
}

// Deliveries lists what each collector has on record of a channel.
func (s askedAlerting) Deliveries(ctx context.Context, scope readmodel.Scope, f readmodel.DeliveryFilter, page readmodel.Page) (readmodel.List[readmodel.Delivery], error) {
	answers, err := s.all(ctx, &alertQuestion{Op: "deliveries", Scope: scope, Filter: f})
	if err != nil {
		return readmodel.List[readmodel.Delivery]{}, err
	}
	// A notification has one id wherever it is sent from: its latest word counts.
	latest := map[string]readmodel.Delivery{}
	for _, a := range answers {
		for _, d := range a.Deliveries {
			if old, twice := latest[d.ID]; !twice || d.LastTryAt.After(old.LastTryAt) {
				latest[d.ID] = d
			}
		}
	}
	rows := make([]readmodel.Delivery, 0, len(latest))
	for _, d := range latest {
		rows = append(rows, d)
	}
	return readmodel.PageOf(rows, page, deliveryPosition), nil
}

// Resend asks the collector that has the delivery on record.
func (s askedAlerting) Resend(ctx context.Context, scope readmodel.Scope, name, id string) (readmodel.Delivery, error) {
	return oneDelivery(s.first(ctx, &alertQuestion{Op: "resend", Scope: scope, Channel: name, ID: id}, askFor))
}
