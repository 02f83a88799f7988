package agent

import "sync/atomic"

type counters struct {
	spoolDown                           atomic.Bool
	emitted, shed, unwritten, lateSyncs atomic.Uint64
	shipped, refused, shipErrors        atomic.Uint64
	commands, repeated                  atomic.Uint64
	liveDropped                         atomic.Uint64
}

// Stats is what an agent has done since New. Emitted = in the spool or shipped +
// Shed + Unwritten.
type Stats struct {
	// SpoolDown: the spool could not be opened, and nothing is recorded.
	SpoolDown bool
	// Emitted counts events that were to be recorded; Shed those dropped because
	// the spool was full; Unwritten those lost to an error of the spool.
	Emitted, Shed, Unwritten uint64
	// LateSyncs counts dead letters whose fsync took longer than an answer waits.
	LateSyncs uint64
	// Shipped counts events the collector has acknowledged, Refused those it will
	// never take, ShipErrors tries in vain.
	Shipped, Refused, ShipErrors uint64
	// Commands counts commands carried out, Repeated those that came again.
	Commands, Repeated uint64
	// Spooled is how many bytes wait to be shipped.
	Spooled int64
}

// Stats returns the agent's figures.
func (a *Agent) Stats() Stats {
	s := Stats{
		SpoolDown: a.stats.spoolDown.Load(), Emitted: a.stats.emitted.Load(), Shed: a.stats.shed.Load(),
		Unwritten: a.stats.unwritten.Load(), LateSyncs: a.stats.lateSyncs.Load(), Shipped: a.stats.shipped.Load(),
		Refused: a.stats.refused.Load(), ShipErrors: a.stats.shipErrors.Load(), Commands: a.stats.commands.Load(),
		Repeated: a.stats.repeated.Load(),
	}
	if a.log != nil {
		if c, err := a.log.Cursor(shipCursor); err == nil {
			s.Spooled = int64(a.log.End() - c.Position())
		}
	}
	return s
}
