// Package live is the nerve between the processes of Tasktrail, over Redis: it
// publishes what happens as it happens, carries commands to the agents that
// serve a queue, and keeps the set of active tasks with their progress.
//
// It is never the truth. Everything it holds may be lost at any time and is
// made again from the collector's log and from ClickHouse: commands by
// [Live.Redeliver], the active set by [Live.RestoreActive]. It decides nothing:
// which alerts there are is the business of package alerting, who may read a
// topic that of package query.
//
// # Delivery
//
//   - Messages on topics are at most once. A message is not sent again, and
//     events older than [Config.MaxEventAge] are not published at all: whoever
//     reconnects asks the API first. Every message that is left out is counted.
//   - Commands are at least once. They stay in Redis until the log shows that
//     the run they ask for began or ended, are offered again when the agent that
//     took one says nothing for [Config.RedeliverAfter], and the sink that writes
//     them is retried for as long as Redis is away.
//
// # Keys and topics
//
// Topics are task:{task_id}, user_dashboard:{user_id}, tasks and
// alerts:{severity}; outside the default namespace {namespace}: stands before
// them. A retry waits in the stream tasktrail:commands:{namespace}:{queue}, read
// by the consumer group "agents"; a cancel stands in the hash
// tasktrail:cancels:{namespace}:{queue}, from which every agent of the queue
// gets it. What goes to a queue's re-enqueue URL waits beside both, under the same
// names and :url. In keys and before topics, the characters : { } and % of a namespace
// or queue are percent-encoded, so that no two of them share a name.
//
// A stream is never trimmed: that would lose commands nobody has taken. Its
// length is bounded by refusing instead ([Config.MaxCommands]); what is refused
// stands in ClickHouse as an unanswered retry and is offered again by Redeliver.
package live
