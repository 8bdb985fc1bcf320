package api

import (
	"net/url"
	"slices"
	"strconv"

	"sekisho/policy"
	"sekisho/web"
)

// longestFilter is how long what a list is narrowed by may be, in bytes.
const longestFilter = 512

// filters are what a list is narrowed by, as the query says it, with what is wrong
// with it. What each one means is the list's to say.
type filters struct {
	url.Values
	known []string // in the order of the contract
	wrong []web.FieldError
}

// filtersOf reads a query that may hold what is known, each once. A misspelt
// parameter is refused: it would silently list everything.
func filtersOf(q url.Values, known []string, longest int) *filters {
	f := &filters{Values: q, known: known}
	for k, vs := range q {
		switch {
		case !slices.Contains(known, k):
			f.refuse(k, "unknown", "この項目はありません。", "There is no such filter.")
		case len(vs) != 1:
			f.refuse(k, "twice", "一つだけ指定してください。", "Give this once.")
		case len(vs[0]) > longest:
			f.refuse(k, "too_long", "長すぎます。", "This is too long.")
		}
	}
	return f
}

func (f *filters) refuse(field, rule, ja, en string) {
	f.wrong = append(f.wrong, web.FieldError{Field: field, Rule: rule, Detail: policy.Words{JA: ja, EN: en}})
}

// yes is a filter that is on or off; off when it is not there.
func (f *filters) yes(field string) bool {
	switch f.Get(field) {
	case "true", "1":
		return true
	case "", "false", "0":
		return false
	}
	f.refuse(field, "boolean", "true か false で指定してください。", "Give true or false.")
	return false
}

// limit is how many to answer: perPage when not told, and never more than most.
func (f *filters) limit(most int) int {
	if !f.Has("limit") {
		return perPage
	}
	n, err := strconv.Atoi(f.Get("limit"))
	if err != nil || n < 1 || n > most {
		at := strconv.Itoa(most)
		f.refuse("limit", "number", "1から"+at+"までの数で指定してください。", "Give a number from 1 to "+at+".")
	}
	return n
}

// err names everything that is wrong, in the order of the contract; nil: nothing is.
func (f *filters) err() error {
	if len(f.wrong) == 0 {
		return nil
	}
	slices.SortFunc(f.wrong, func(a, b web.FieldError) int {
		return slices.Index(f.known, a.Field) - slices.Index(f.known, b.Field)
	})
	return web.Invalid(f.wrong...)
}
