package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// An Article points into the guideline: "62" is 第62条, "62-7" its seventh
// paragraph, "26no3-1" the first of 第26条の3, "79-3(13)" the thirteenth item of
// a third paragraph, "74-1(3)" and "17(1)" items of a first one.
type Article string

// ArticleInfo is what we know of an article, or of the article that a
// paragraph or item lies in. Title is the guideline's own heading; the summary
// is in our words.
type ArticleInfo struct {
	ID      Article
	Title   Words
	Summary Words
}

var articleForm = regexp.MustCompile(`^([1-9][0-9]?(?:no[2-9])?)(?:-([1-9][0-9]?))?(?:\(([1-9][0-9]?)\))?$`)

// Info finds what is known of an article. ID is the reference asked for, the
// words are those of the whole article. False: there is no such article,
// paragraph or item.
func (a Article) Info() (ArticleInfo, bool) {
	number, paragraph, item, ok := a.split()
	if !ok {
		return ArticleInfo{}, false
	}
	e, ok := articleIndex[number]
	if !ok || !e.has(paragraph, item) {
		return ArticleInfo{}, false
	}
	info := e.info()
	info.ID = a
	return info, true
}

// ValidArticle reports whether the guideline has this article, paragraph and
// item.
func ValidArticle(a Article) bool {
	_, ok := a.Info()
	return ok
}

// Articles are the guideline's articles 1 to 84 in its own order, without
// paragraphs.
func Articles() []ArticleInfo {
	all := make([]ArticleInfo, 0, len(guideline))
	for _, e := range guideline {
		all = append(all, e.info())
	}
	return all
}

// Label is how people of a language cite the article: 第62条第7項, Article 62(7).
// A value that is no article's is given back as it is.
func (a Article) Label(lang string) string {
	number, paragraph, item, ok := a.split()
	if !ok {
		return string(a)
	}
	main, sub, _ := strings.Cut(number, "no")
	if lang == "en" {
		s := "Article " + main
		if sub != "" {
			s += "-" + sub
		}
		if paragraph > 0 {
			s += fmt.Sprintf("(%d)", paragraph)
		}
		if item > 0 {
			s += fmt.Sprintf(" item %d", item)
		}
		return s
	}
	s := "第" + main + "条"
	if sub != "" {
		s += "の" + sub
	}
	if paragraph > 0 {
		s += fmt.Sprintf("第%d項", paragraph)
	}
	if item > 0 {
		s += fmt.Sprintf("第%d号", item)
	}
	return s
}

// split takes a reference apart. Zero stands for a part that is not given.
func (a Article) split() (number string, paragraph, item int, ok bool) {
	m := articleForm.FindStringSubmatch(string(a))
	if m == nil {
		return "", 0, 0, false
	}
	paragraph, _ = strconv.Atoi(m[2]) // empty is 0; otherwise the form has one or two digits
	item, _ = strconv.Atoi(m[3])
	return m[1], paragraph, item, true
}

// An article is one row of the guideline's table.
type article struct {
	number     string
	title      Words
	summary    Words
	paragraphs []int // items in each paragraph
}

func (e article) info() ArticleInfo {
	return ArticleInfo{ID: Article(e.number), Title: e.title, Summary: e.summary}
}

// has reports whether a paragraph and an item exist; 0 means not given. An item
// without a paragraph lies in the only paragraph there is.
func (e article) has(paragraph, item int) bool {
	switch {
	case paragraph > len(e.paragraphs):
		return false
	case item == 0:
		return true
	case paragraph == 0:
		return len(e.paragraphs) == 1 && item <= e.paragraphs[0]
	}
	return item <= e.paragraphs[paragraph-1]
}

var articleIndex = func() map[string]article {
	index := make(map[string]article, len(guideline))
	for _, e := range guideline {
		index[e.number] = e
	}
	return index
}()
