package query

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const maxLimiters = 10_000

// limiters are the token buckets of tokens, by principal. The map is bounded: past
// it the one that was used least recently begins anew. It is safe for concurrent
// use.
type limiters struct {
	perSecond float64
	burst     int

	mu    sync.Mutex
	byID  map[string]*list.Element
	order *list.List // of *limiterEntry, least recently used first
}

type limiterEntry struct {
	id     string
	bucket *rate.Limiter
}

func newLimiters(perSecond float64, burst int) *limiters {
	return &limiters{perSecond: perSecond, burst: burst, byID: map[string]*list.Element{}, order: list.New()}
}

// allow takes a token; where there is none it says when to come again.
func (l *limiters) allow(id string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	e, known := l.byID[id]
	if !known {
		if l.order.Len() >= maxLimiters {
			oldest := l.order.Front()
			delete(l.byID, oldest.Value.(*limiterEntry).id)
			l.order.Remove(oldest)
		}
		e = l.order.PushBack(&limiterEntry{id, rate.NewLimiter(rate.Limit(l.perSecond), l.burst)})
		l.byID[id] = e
	}
	l.order.MoveToBack(e)
	bucket := e.Value.(*limiterEntry).bucket
	l.mu.Unlock()
	if bucket.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - bucket.TokensAt(now)
	return time.Duration(missing / l.perSecond * float64(time.Second)), false
}

// quota counts what is open, over all and by token.
type quota struct {
	total, each int

	mu   sync.Mutex
	open int
	byID map[string]int
}

func newQuota(total, each int) *quota {
	return &quota{total: total, each: each, byID: map[string]int{}}
}

func (q *quota) take(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open >= q.total || q.byID[id] >= q.each {
		return false
	}
	q.open++
	q.byID[id]++
	return true
}

func (q *quota) release(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open--
	if q.byID[id]--; q.byID[id] <= 0 {
		delete(q.byID, id)
	}
}
