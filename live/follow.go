package live

import "context"

// Follower hands out messages as bytes alone, for readers that start anew after
// a gap instead of counting it.
type Follower struct{ live *Live }

// Follower returns the plain form of [Live.Subscribe].
func (l *Live) Follower() Follower { return Follower{l} }

// Subscribe is [Live.Subscribe] whose channel is closed when ctx ends, when the
// Live is closed, and when messages were missed.
func (f Follower) Subscribe(ctx context.Context, topics ...string) (<-chan []byte, error) {
	sub, err := f.live.Subscribe(ctx, topics...)
	if err != nil {
		return nil, err
	}
	out := make(chan []byte)
	f.live.mu.Lock()
	defer f.live.mu.Unlock()
	if f.live.closed {
		sub.Close()
		close(out)
		return out, nil
	}
	f.live.wg.Go(func() {
		defer close(out)
		defer sub.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case m, open := <-sub.C():
				if !open || m.Gap || m.Missed > 0 {
					return
				}
				select {
				case <-ctx.Done():
					return
				case <-f.live.life.Done():
					return
				case out <- m.Payload:
				}
			}
		}
	})
	return out, nil
}
