// Package audit keeps the trail: what was done, by whom, with what outcome and
// under which article, so that it can be shown afterwards that nothing was
// added, taken away or changed.
//
// It refuses to know what an act means. Services describe their own acts and
// hand the entry over inside the transaction that performs them: no trail, no
// act. It holds no secret but the key that signs, and an Entry has no field for
// one.
//
//	Append --commit--> pending --Sealer--> leaf i of a Merkle tree --> checkpoint
//
// An entry gets its number when it is sealed, not when it is written: a number
// handed out inside the act's transaction would make every act wait for the
// one before. Until it is sealed, within a second, an entry is only as safe as
// the database; from then on changing it takes the signing key, and from the
// next checkpoint kept outside on (the anchor file, an export) not even that
// goes unseen. The proof package, which knows only the public key, decides.
//
// SHA-256 leaves and nodes: RFC 6962, section 2.1. Checkpoints: C2SP
// tlog-checkpoint in signed notes.
package audit
