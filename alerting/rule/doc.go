// Package rule reads operators' rules out of YAML, watches events for them, and
// says which of them hold.
//
// An [Engine] counts what it observes in memory, in slots of ten seconds, and
// decides when it is asked; the same engine runs over a collector's log as it
// grows and over stored events of the past. It tells [Finding]s: what a rule
// found about one group of tasks. Whether somebody is called for it, and how, is
// not its business, nor where events come from.
package rule
