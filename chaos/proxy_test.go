package chaos

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// weather is how a proxy treats what goes through it.
type weather int

const (
	fair weather = iota
	// refuses: no connection is taken, those there are are cut.
	refuses
	// slow: every chunk waits.
	slow
	// halfOpen: connections are taken and stay up, and nothing comes through.
	halfOpen
	// deaf: what was asked arrives; the answer does not, the connection breaks instead.
	deaf
)

var weathers = map[weather]string{fair: "fair", refuses: "refuses", slow: "slow", halfOpen: "half-open", deaf: "loses answers"}

// proxy stands between agents and their collector.
type proxy struct {
	listener net.Listener

	mu sync.Mutex
	// targets are the collectors; the first is the one that agents are led to.
	targets []string
	now     weather
	change  chan struct{}
	conns   map[net.Conn]bool
	closed  bool
	wg      sync.WaitGroup
}

func newProxy(t *testing.T, targets ...string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, targets: targets, change: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		_ = l.Close()
		p.set(refuses)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

// set changes the weather. It cuts what is there where that belongs to it, and
// when half-open ends: those connections have lost their bytes.
func (p *proxy) set(w weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cut := w == refuses || p.now == halfOpen || p.now == refuses
	p.now = w
	close(p.change)
	p.change = make(chan struct{})
	if cut {
		p.cutLocked()
	}
}

// turn leads agents to the other collector, and cuts what they have to this one.
func (p *proxy) turn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = append(p.targets[1:], p.targets[0])
	p.cutLocked()
}

func (p *proxy) target() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.targets[0]
}

// cut breaks every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLocked()
}

func (p *proxy) cutLocked() {
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) weather() (weather, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.change
}

func (p *proxy) serve() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.carry(in) })
	}
}

// keep notes a connection; false where it is to be closed at once.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.now == refuses {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

func (p *proxy) carry(in net.Conn) {
	defer p.drop(in)
	if !p.keep(in) {
		return
	}
	out, err := net.DialTimeout("tcp", p.target(), 5*time.Second)
	if err != nil {
		return
	}
	defer p.drop(out)
	if !p.keep(out) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(out, in, false); _ = out.Close(); _ = in.Close() })
	both.Go(func() { p.copy(in, out, true); _ = in.Close(); _ = out.Close() })
	both.Wait()
}

func (p *proxy) copy(to io.Writer, from io.Reader, answers bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		for n > 0 {
			w, change := p.weather()
			switch {
			case w == refuses, w == deaf && answers:
				return
			case w == halfOpen:
				<-change
				continue
			case w == slow:
				t := time.NewTimer(30 * time.Millisecond)
				select {
				case <-t.C:
				case <-change:
					t.Stop()
				}
			}
			break
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
