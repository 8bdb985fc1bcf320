package directory

// Wanted says whom to look for. Zero fields do not restrict.
type Wanted struct {
	// Words are parts of login, name or mail address, each of which must be
	// found.
	Words   string
	Section string
	Kind    Kind
}

// Found is one page of those who were looked for.
type Found struct {
	People []Person
	Next   string // what to look on after; "" for no rest
	Total  int    // how many there are in all, on whatever page
}
