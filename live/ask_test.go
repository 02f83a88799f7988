package live

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestAProcessAnswersAnother(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		asks, answers := start(t, Config{URL: url}), start(t, Config{URL: url})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- answers.Answer(ctx, "channels", "collector one", func(_ context.Context, body []byte) []byte {
				return append(append([]byte(`{"heard":`), body...), '}')
			})
		}()
		ask := func(holder string, within time.Duration) (string, error) {
			asked, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			b, err := asks.Ask(asked, "channels", holder, []byte(`"hello"`))
			return string(b), err
		}
		eventually(t, "an answer", func() bool {
			got, err := ask("collector one", time.Second)
			return err == nil && got == `{"heard":"hello"}`
		})
		if got, err := ask("nobody", 100*time.Millisecond); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("nobody answers: %q, %v", got, err)
		}
		// What is no question is passed over.
		for _, junk := range []string{"", "{", `{"id":"x"}`, `[1]`} {
			if err := asks.client.Publish(t.Context(), askTopic("channels", "collector one"), junk).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := ask("collector one", 5*time.Second); err != nil || got != `{"heard":"hello"}` {
			t.Errorf("after what is no question: %q, %v", got, err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestQuestionsBeyondTheBoundAreToldSo(t *testing.T) {
	l := start(t, Config{URL: startEmbedded(t).URL()})
	ctx, stop := context.WithCancel(t.Context())
	release := make(chan struct{})
	var busy sync.WaitGroup
	busy.Add(maxAsked)
	done := make(chan error, 1)
	ready := make(chan struct{})
	var first sync.Once
	go func() {
		done <- l.Answer(ctx, "x", "h", func(_ context.Context, body []byte) []byte {
			if string(body) == `"ready?"` {
				first.Do(func() { close(ready) })
				return json.RawMessage(`1`)
			}
			busy.Done()
			<-release
			return json.RawMessage(`2`)
		})
	}()
	eventually(t, "an answer", func() bool {
		asked, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.Ask(asked, "x", "h", []byte(`"ready?"`))
		return err == nil
	})
	<-ready
	var wg sync.WaitGroup
	for range maxAsked {
		wg.Go(func() {
			asked, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if b, err := l.Ask(asked, "x", "h", []byte(`"wait"`)); err != nil || string(b) != "2" {
				t.Errorf("%q %v", b, err)
			}
		})
	}
	busy.Wait()
	began := time.Now()
	asked, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := l.Ask(asked, "x", "h", []byte(`"wait"`)); !errors.Is(err, ErrNoAnswer) || time.Since(began) > 10*time.Second {
		t.Errorf("one too many: %v after %v", err, time.Since(began))
	}
	close(release)
	wg.Wait()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
