// Package channel takes calls about alerts to where people are: signed webhooks,
// an Alertmanager, Slack, PagerDuty. A [Notifier] makes one call and says what
// its outcome means for the next one.
//
// It queues nothing, tries nothing twice and keeps no state: whoever calls it
// decides when to call again. Where a call may lead is guarded: an address that
// is not public is refused after its name was resolved, and no redirect is
// followed.
package channel
