// Package chaos holds the tests of what is promised under faults: processes that
// are killed, stopped and started again, connections that break, stall and lose
// answers, a Redis that comes back empty, under a workload whose outcome is known.
// It holds the soak test too. It is no part of the program: nothing imports it, and
// it has no code of its own outside its tests. docs/reliability.md says how to run
// them and what they showed.
package chaos
