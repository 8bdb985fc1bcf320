package store

// Brief is what a row keeps of an error: its first 300 characters.
func Brief(err error) string {
	s := []rune(err.Error())
	if len(s) > 300 {
		return string(s[:300]) + "…"
	}
	return string(s)
}
