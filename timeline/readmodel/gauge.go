package readmodel

import "time"

// Facet is a label that tasks can be counted by.
type Facet uint8

// The facets.
const (
	ByType Facet = iota
	ByQueue
	ByProvider
	ByAgent
	ByUser
)

// Gauge is how many tasks of a namespace share labels, and since when the oldest
// is there. Labels that were not asked for are empty.
type Gauge struct {
	Namespace, Type, Queue, Provider, Agent, UserID string
	Count                                           int64
	Oldest                                          time.Time
}
