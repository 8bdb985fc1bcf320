package store

import (
	"strconv"
	"strings"
)

// positional writes the numbered parameters of q as SQLite's nameless ones
// where that means the same: $1, $2 and so on, each once and in this order.
// SQL in Sekisho has the form that PostgreSQL takes; to SQLite "$7" is a name,
// and its driver asks for the name of each parameter at each use, which SQLite
// finds by walking a list. Any other q is answered as it is.
func positional(q string) string {
	var b strings.Builder
	next := 1
	for i := 0; i < len(q); {
		switch c := q[i]; {
		case c == '\'' || c == '"':
			end := strings.IndexByte(q[i+1:], c)
			if end < 0 {
				return q
			}
			b.WriteString(q[i : i+end+2])
			i += end + 2
		case strings.HasPrefix(q[i:], "--"), strings.HasPrefix(q[i:], "/*"), c == '?', c == '`', c == '[':
			return q
		case c == '$':
			end := i + 1
			for end < len(q) && q[end] >= '0' && q[end] <= '9' {
				end++
			}
			if q[i+1:end] != strconv.Itoa(next) {
				return q
			}
			b.WriteByte('?')
			next++
			i = end
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}
