package main

import (
	"fmt"
	"math/rand/v2"
)

// shape is a kind of life that a task of the example leads, with the life's name
// in the list of known lives.
type shape struct {
	name string
	life string
	// share is how many of a thousand tasks have this shape.
	share int
	plans [][]string
	// maxAttempts of the task; 0 for the agent's default.
	maxAttempts int
	// shared: all tasks of the shape call one provider, so that its breaker opens.
	shared bool
}

var shapes = []shape{
	{name: "ok", life: "success", share: 560, plans: [][]string{{"ok"}}},
	{name: "twice", life: "retry_twice_then_success", share: 150, plans: [][]string{
		{"503", "reset", "ok"}, {"500", "502", "ok"}, {"eof", "504", "ok"}, {"half", "408", "ok"}, {"429", "503-date", "ok"}, {"425", "500", "ok"},
	}},
	{name: "hang", life: "retry_then_success", share: 40, plans: [][]string{{"hang", "ok"}}},
	{name: "exhausted", life: "exhausted_after_2", share: 60, maxAttempts: 2, plans: [][]string{{"500", "503"}, {"reset", "500"}, {"eof", "eof"}}},
	{name: "permanent", life: "permanent", share: 130, plans: [][]string{{"400"}, {"401"}, {"404"}, {"409"}, {"422"}, {"410"}}},
	{name: "bank", life: "circuit_open", share: 60, plans: [][]string{{"500"}}, shared: true},
}

// planned is one task to enqueue. It is the asynq payload.
type planned struct {
	ID          string   `json:"id"`
	Type        string   `json:"-"`
	Queue       string   `json:"-"`
	Life        string   `json:"life"`
	Provider    string   `json:"provider"`
	User        string   `json:"user"`
	Amount      string   `json:"amount,omitempty"`
	Currency    string   `json:"currency,omitempty"`
	MaxAttempts int      `json:"max_attempts,omitempty"`
	URL         string   `json:"url"`
	Plan        []string `json:"plan"`
}

var (
	taskTypes  = []string{"payment", "withdrawal", "send_email", "resize_image", "deliver_webhook", "card_payment"}
	currencies = []string{"USD", "EUR", "JPY", "GBP"}
)

// plan makes n tasks of mixed types, amounts and shapes, the same for the same
// prefix and n.
func plan(prefix, url string, n int) []planned {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	tasks := make([]planned, 0, n)
	total := 0
	for _, s := range shapes {
		total += s.share
	}
	for i := range n {
		at, s := i*total/n, shapes[len(shapes)-1]
		for _, c := range shapes {
			if at < c.share {
				s = c
				break
			}
			at -= c.share
		}
		t := planned{
			ID: fmt.Sprintf("%s-%s-%04d", prefix, s.name, i), Type: taskTypes[rng.IntN(len(taskTypes))], Life: s.life,
			Provider: fmt.Sprintf("%s-%s-%d", prefix, s.name, i), User: fmt.Sprintf("user-%d", rng.IntN(20)),
			MaxAttempts: s.maxAttempts, URL: url, Plan: s.plans[i%len(s.plans)],
		}
		if s.shared {
			t.Provider = prefix + "-" + s.name
		}
		if t.Queue = "default"; t.Type == "payment" || t.Type == "withdrawal" || t.Type == "card_payment" {
			t.Queue = "money"
			t.Amount = fmt.Sprintf("%d.%02d", 1+rng.IntN(300), rng.IntN(100))
			t.Currency = currencies[rng.IntN(len(currencies))]
		}
		tasks = append(tasks, t)
	}
	rng.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	return tasks
}
