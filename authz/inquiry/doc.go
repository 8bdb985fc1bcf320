// Package inquiry is how people look through the trail (articles 51-3, 82): who may, what
// a search must name, and what acts are called in words.
//
// Whoever searches or looks is entered on the trail before anything is shown to them: to
// look through what somebody did is an act of its own. A search by person names the case
// it serves (articles 11-4, 45-3, 54-3). One entry that is looked at by its number asks
// for none, as a search that names nobody does not: a number says nothing about a person,
// and samples of evidence lead there. Each look has an entry of its own all the same, with
// whose act was looked at and the case that the reader came with, so that somebody who
// goes through the entries of one person by their numbers leaves a trail that says so.
//
// It changes nothing, and proves nothing: what it shows is as good as the store, until an
// export is verified under the auditors' own key.
package inquiry
