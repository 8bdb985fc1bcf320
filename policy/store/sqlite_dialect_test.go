package store

import "testing"

func TestPositional(t *testing.T) {
	for _, tt := range []struct{ name, q, want string }{
		{"in order", `INSERT INTO a (b, c) VALUES ($1, $2)`, `INSERT INTO a (b, c) VALUES (?, ?)`},
		{"ten and more", `VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)`, `VALUES (?,?,?,?,?,?,?,?,?,?)`},
		{"none", `COMMIT`, `COMMIT`},
		{"twice the same", `UPDATE a SET b = $1 WHERE c < $1`, `UPDATE a SET b = $1 WHERE c < $1`},
		{"another order", `SELECT $2, $1`, `SELECT $2, $1`},
		{"a gap", `SELECT $1, $3`, `SELECT $1, $3`},
		{"not from one", `SELECT $2`, `SELECT $2`},
		{"a dollar in text", `SELECT '$1 for you', $1`, `SELECT '$1 for you', ?`},
		{"a quote in text", `SELECT 'it''s $2', $1`, `SELECT 'it''s $2', ?`},
		{"a question mark in text", `SELECT 'who?', $1`, `SELECT 'who?', ?`},
		{"a dollar in a name", `SELECT "a$1" WHERE b = $1`, `SELECT "a$1" WHERE b = ?`},
		{"text without an end", `SELECT $1, 'x`, `SELECT $1, 'x`},
		{"nameless already", `SELECT $1, ?`, `SELECT $1, ?`},
		{"a comment", "SELECT $1 -- $2\n", "SELECT $1 -- $2\n"},
		{"a long comment", "SELECT $1 /* $2 */", "SELECT $1 /* $2 */"},
		{"a named one", `SELECT $1, $name`, `SELECT $1, $name`},
		{"a zero before", `SELECT $01`, `SELECT $01`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := positional(tt.q); got != tt.want {
				t.Errorf("positional(%q) = %q, want %q", tt.q, got, tt.want)
			}
		})
	}
}
