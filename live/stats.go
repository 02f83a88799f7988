package live

import "sync/atomic"

// Stats counts what was done and what was left out since Open.
type Stats struct {
	// Published are messages that Redis took; PublishSkipped those left out because
	// it was away, PublishOld events too old to publish.
	Published, PublishSkipped, PublishOld uint64
	// Unreadable are frames and records that could not be read, Oversized messages
	// past the limit.
	Unreadable, Oversized uint64
	// Received are messages handed to subscriptions, Dropped those a slow one lost.
	Received, Dropped uint64
	// Subscriptions and Topics are what is listened to at the moment.
	Subscriptions, Topics int
	// CommandsAdded, CommandsAnswered and CommandsDelivered follow commands;
	// Redelivered are deliveries beyond the first.
	CommandsAdded, CommandsAnswered, CommandsDelivered, Redelivered uint64
	// CommandsParked found their queue full and wait for the next Redeliver;
	// CommandsForged were not authentic or not readable, and were dropped.
	CommandsParked, CommandsForged uint64
	// ProgressThrottled are progress messages beyond the rate of their task.
	ProgressThrottled uint64
	// ActiveFailed are changes of the active set that Redis did not take.
	ActiveFailed uint64
}

type counters struct {
	published, publishSkipped, publishOld, unreadable, oversized atomic.Uint64
	received, dropped                                            atomic.Uint64
	added, answered, delivered, redelivered, parked, forged      atomic.Uint64
	throttled, activeFailed                                      atomic.Uint64
}

// Stats returns the counts so far.
func (l *Live) Stats() Stats {
	c := &l.stats
	subs, topics := l.hub.size()
	return Stats{
		Published: c.published.Load(), PublishSkipped: c.publishSkipped.Load(), PublishOld: c.publishOld.Load(),
		Unreadable: c.unreadable.Load(), Oversized: c.oversized.Load(),
		Received: c.received.Load(), Dropped: c.dropped.Load(), Subscriptions: subs, Topics: topics,
		CommandsAdded: c.added.Load(), CommandsAnswered: c.answered.Load(), CommandsDelivered: c.delivered.Load(),
		Redelivered: c.redelivered.Load(), CommandsParked: c.parked.Load(), CommandsForged: c.forged.Load(),
		ProgressThrottled: c.throttled.Load(), ActiveFailed: c.activeFailed.Load(),
	}
}
