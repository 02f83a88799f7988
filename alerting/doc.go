// Package alerting follows a collector's log, decides what is worth waking
// somebody for, and sees to it that the call arrives: it turns events into
// alerts by rules, keeps their state on disk, and delivers them to channels.
//
// It does not decide what a task's failure is (the events say so), does not
// carry anything to Redis itself (a [Publisher] does), and waits for no database
// to decide about what it has followed; what can't be counted it asks of its
// [Deps].
//
// # Promises
//
//   - A task raises one alert, whose id is derived from the task. Reading the log
//     again, in whole or in part, raises nothing twice.
//   - What was decided is on disk before Write returns, and with it what has to be
//     delivered: a restart loses no call. Deliveries are at least once; the id of
//     a notification is the same each time, so that a receiver can drop repeats.
//   - Each channel has its own queue and its own workers: one that is dead delays
//     no other. A queue is bounded; what has to give way is counted and logged.
//   - An alert that a rule raises has an id derived from the rule and its group: of
//     several collectors one decides, and the next one goes on under the same id.
//   - What operators set (silences, acknowledgements) and what each channel was told
//     outlives a restart.
package alerting
