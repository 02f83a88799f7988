package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// chargeArgs is one order to charge, and how its bank behaves.
type chargeArgs struct {
	Order    int    `json:"order"`
	Customer string `json:"customer"`
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
	Bank     string `json:"bank"`
}

func (chargeArgs) Kind() string { return "payment" }

// How a bank behaves.
const (
	bankWell    = "well"
	bankHiccups = "hiccups" // fails once
	bankDown    = "down"    // fails until an operator retries
	bankRefuses = "refuses" // for good
)

// order makes the i-th order: of ten, seven go well, and each of the others fails
// in its own way.
func order(i int) chargeArgs {
	bank := bankWell
	switch i % 10 {
	case 7:
		bank = bankHiccups
	case 8:
		bank = bankDown
	case 9:
		bank = bankRefuses
	}
	return chargeArgs{Order: i, Customer: fmt.Sprintf("user-%d", i%20), Amount: fmt.Sprintf("%d.50", 5+i%200), Currency: "USD", Bank: bank}
}

// describe tells the agent what a job is about.
func describe(job *rivertype.JobRow) agent.Task {
	var args chargeArgs
	if err := json.Unmarshal(job.EncodedArgs, &args); err != nil {
		return agent.Task{} // the worker fails on it, and that is recorded
	}
	return agent.Task{Task: timeline.Task{UserID: args.Customer, Amount: args.Amount, Currency: args.Currency}}
}

var errUnavailable = errors.New("503: the bank is not available")

type chargeWorker struct {
	river.WorkerDefaults[chargeArgs]
}

// Work is an ordinary worker, which knows nothing of retries. What the agent tells
// of the attempt goes to the bank, which charges once for one idempotency key.
func (*chargeWorker) Work(ctx context.Context, job *river.Job[chargeArgs]) error {
	attempt, _ := agent.AttemptFrom(ctx)
	switch {
	case job.Args.Bank == bankRefuses && attempt.Run == 1:
		return agent.Permanent(errors.New("402: the card has expired"))
	case job.Args.Bank == bankDown && attempt.Run == 1, job.Args.Bank == bankHiccups && attempt.Number == 1:
		return errUnavailable
	}
	return nil
}
