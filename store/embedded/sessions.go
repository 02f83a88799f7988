package embedded

import (
	"strings"
	"sync"
)

// sessions hands out connections in a given state: role, database, settings.
// Opening one takes a tenth of a millisecond, so that a connection is never
// brought from one state into another; but readers ask with the same settings
// over and over, and theirs are kept.
type sessions struct {
	engine *engine
	base   []setting // of every session, before those of the request

	mu   sync.Mutex
	idle map[string][]*connection
	n    int
	max  int
}

func newSessions(e *engine, base []setting, maxIdle int) *sessions {
	return &sessions{engine: e, base: base, idle: map[string][]*connection{}, max: maxIdle}
}

// state is what a session is like; key tells equal ones.
type state struct {
	database string
	settings []setting
	readonly bool
}

func (s *state) key() string {
	var b strings.Builder
	if s.readonly {
		b.WriteByte('r')
	}
	b.WriteString(s.database)
	for _, x := range s.settings {
		b.WriteString("\x00" + x.name + "\x00" + x.value)
	}
	return b.String()
}

// get returns a connection in the state.
func (p *sessions) get(s *state) (*connection, error) {
	key := s.key()
	p.mu.Lock()
	if list := p.idle[key]; len(list) > 0 {
		c := list[len(list)-1]
		if len(list) == 1 {
			delete(p.idle, key)
		} else {
			p.idle[key] = list[:len(list)-1]
		}
		p.n--
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()

	c, err := p.engine.connect()
	if err != nil {
		return nil, err
	}
	if err := prepare(c, s, p.base); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func prepare(c *connection, s *state, base []setting) error {
	var b strings.Builder
	b.WriteString("SET ")
	for i, x := range append(append([]setting(nil), base...), s.settings...) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(x.name + " = " + quoteString(x.value))
	}
	if s.database != "" {
		b.WriteString("; USE " + quoteIdentifier(s.database))
	}
	if s.readonly {
		// Last, because nothing can be set after it; the engine itself then refuses
		// writes, changes of settings, and table functions that leave the database.
		b.WriteString("; SET readonly = 1")
	}
	return c.exec(b.String())
}

// put takes a connection back. Only one that is as it was handed out may be
// kept; another is closed, and so is what there is no room for.
func (p *sessions) put(s *state, c *connection, clean bool) {
	if clean {
		p.mu.Lock()
		if p.n >= p.max {
			p.evict()
		}
		if p.n < p.max {
			key := s.key()
			p.idle[key] = append(p.idle[key], c)
			p.n++
			c = nil
		}
		p.mu.Unlock()
	}
	if c != nil {
		c.close()
	}
}

// evict closes one idle connection of any state. The lock is held.
func (p *sessions) evict() {
	for key, list := range p.idle {
		list[len(list)-1].close()
		p.n--
		if p.idle[key] = list[:len(list)-1]; len(p.idle[key]) == 0 {
			delete(p.idle, key)
		}
		return
	}
}

func (p *sessions) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, list := range p.idle {
		for _, c := range list {
			c.close()
		}
		delete(p.idle, key)
	}
	p.n, p.max = 0, 0
}
