// Package replay takes away again what a restore has given back.
//
// A store that was restored from a backup knows nothing of what was done after it. What
// gave somebody something is missing, and is asked for again; what took something away is
// missing too, and until somebody notices, a suspended person comes in. An export of the
// trail that lies elsewhere still says what was done, signed. From it, entry by entry:
//
//	lost entry ──Judge──► taken away again, once, with its own entry that cites the lost one
//	                  ├─► undone later, or over by now
//	                  ├─► says too little
//	                  └─► gave somebody something: a person does it again
//
// Nothing is given by it, so nobody has to approve it: each act was decided by whoever the
// signed entry names, and narrows. Each is a transaction that writes its row of replayed,
// so that a replay which was killed goes on where it stopped, and one that runs twice does
// nothing twice: what a person has given back meanwhile stays given.
//
// It refuses to know how an export is read and proved (policy/audit) and how each act
// works (its room).
package replay
