package secret

import (
	"context"
	"runtime"
)

// Enter takes a place at the gate and keeps it until leave is called.
func (h *Hasher) Enter(ctx context.Context) (leave func(), err error) { return h.enter(ctx) }

// AwaitInside returns when n callers are at the gate or wait for it.
func (h *Hasher) AwaitInside(n int) {
	for h.inside.Load() != int64(n) {
		runtime.Gosched()
	}
}

// ParsePHC reads a hash and writes it again.
func ParsePHC(s string) (Params, string, error) {
	h, err := parsePHC(s)
	if err != nil {
		return Params{}, "", err
	}
	return h.params, h.String(), nil
}
