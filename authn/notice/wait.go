package notice

import "time"

const (
	// Patience is how long a copy is tried for before it is given up. The mail
	// server of a prefecture may stand still over a long weekend.
	Patience = 72 * time.Hour
	// leastTries come before a copy is given up, however old it is: a gate that
	// was off for a week starts before the mail server does.
	leastTries = 8
	// Kept is how long what became of a copy can be looked up, and the longest
	// that one nobody sends may wait.
	Kept = 30 * 24 * time.Hour
)

var (
	// waits are how long a copy rests after its first failed try, its second, …;
	// the last one repeats.
	waits = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour}
	// refusedWaits likewise, where the server said that it will never take the
	// mail. It is asked again a few times all the same: a server that is being
	// set up says so of everybody.
	refusedWaits = []time.Duration{time.Minute, 30 * time.Minute, longestWait}
)

// longestWait is the longest of all.
const longestWait = 6 * time.Hour

// after says what follows a try that failed: how long the copy rests, or that
// it is given up. tries and refusals count this one, age is the notice's.
func after(tries, refusals int, refused bool, age time.Duration) (rest time.Duration, again bool) {
	if refused {
		if refusals > len(refusedWaits) {
			return 0, false
		}
		return refusedWaits[max(refusals, 1)-1], true
	}
	if age >= Patience && tries >= leastTries {
		return 0, false
	}
	return waits[min(max(tries, 1), len(waits))-1], true
}
