package ephemeral

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// A Bell tells the other gateways to look now, through Redis' publish and
// subscribe. It says nothing else: what is to be seen is in the store, and each
// gateway looks there by itself all the while. So a ring that is lost costs the
// haste, a ring that is forged costs a look, and nobody believes either.
type Bell struct {
	client  redis.UniversalClient
	channel string
	self    string        // our own rings come back to us and are not heard
	ring    chan struct{} // to be published
	rung    chan struct{}
}

const (
	// ringEvery is the shortest time between two rings, and listenAgain how long
	// a bell that cannot listen waits before it tries again.
	ringEvery   = 5 * time.Millisecond
	listenAgain = time.Second
)

// Bell makes the bell of the gates that share r's prefix. It is still until Run.
func (r *Redis) Bell() *Bell {
	return &Bell{
		client: r.client, channel: r.prefix + "bell", self: secret.Token(9),
		ring: make(chan struct{}, 1), rung: make(chan struct{}, 1),
	}
}

// Ring has the other gateways look soon. It waits for nothing; several rings in
// a moment may become one.
func (b *Bell) Ring() { once(b.ring) }

// Rung is sent to when another gateway rang.
func (b *Bell) Rung() <-chan struct{} { return b.rung }

// once puts a token into a channel of one place, if there is none.
func once(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run carries rings out and in until ctx ends. While Redis is away nothing rings.
func (b *Bell) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b.listen(ctx); clock.Wait(ctx, listenAgain) == nil; b.listen(ctx) {
		}
	}()
	for {
		select {
		case <-ctx.Done():
			<-done
			return
		case <-b.ring:
			_ = b.publish(ctx) // lost: the others look by themselves
			_ = clock.Wait(ctx, ringEvery)
		}
	}
}

func (b *Bell) publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opWithin)
	defer cancel()
	return said("ringing", b.client.Publish(ctx, b.channel, b.self).Err())
}

// try subscribes once, to find out whether we may.
func (b *Bell) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opWithin)
	defer cancel()
	sub := b.client.Subscribe(ctx, b.channel)
	defer func() { _ = sub.Close() }() // it was there to be refused
	if _, err := sub.Receive(ctx); err != nil {
		return fmt.Errorf("listening in redis: %w", err)
	}
	return nil
}

// listen hears rings until ctx ends or Redis does not let us.
func (b *Bell) listen(ctx context.Context) {
	sub := b.client.Subscribe(ctx, b.channel)
	defer func() { _ = sub.Close() }() // nothing is pending on it
	first, cancel := context.WithTimeout(ctx, opWithin)
	_, err := sub.Receive(first)
	cancel()
	if err != nil {
		return
	}
	once(b.rung) // what was rung while we did not listen
	// The client subscribes again by itself when a connection breaks, and asks
	// after one that is silent.
	heard := sub.ChannelWithSubscriptions(redis.WithChannelHealthCheckInterval(listenAgain))
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-heard:
			if !ok {
				return
			}
			switch m := m.(type) {
			case *redis.Message:
				if m.Payload != b.self {
					once(b.rung)
				}
			case *redis.Subscription: // again: as at first
				once(b.rung)
			}
		}
	}
}
