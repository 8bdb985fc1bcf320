package password

import "unicode/utf8"

// layouts are keyboards as rows of keys from the left, first unshifted, then
// what shift makes of them. JIS X 6002 and the American layout differ in where
// the symbols are; the pad is that of a calculator. A space is a gap.
var layouts = [][][2]string{
	{ // JIS X 6002
		{"1234567890-^¥", "!\"#$%&'() =~|"},
		{"qwertyuiop@[", "qwertyuiop`{"},
		{"asdfghjkl;:]", "asdfghjkl+*}"},
		{"zxcvbnm,./\\", "zxcvbnm<>?_"},
	},
	{ // ANSI
		{"1234567890-=", "!@#$%^&*()_+"},
		{"qwertyuiop[]", "qwertyuiop{}"},
		{"asdfghjkl;'", "asdfghjkl:\""},
		{"zxcvbnm,./", "zxcvbnm<>?"},
	},
	{ // the numeric pad
		{"789", ""},
		{"456", ""},
		{"123", ""},
	},
}

type key struct{ row, column int }

// keys maps each layout's characters to their places.
var keys = func() []map[rune]key {
	var out []map[rune]key
	for _, layout := range layouts {
		places := map[rune]key{}
		for row, lines := range layout {
			for _, line := range lines {
				column := 0
				for rest := line; rest != ""; column++ {
					r, size := utf8.DecodeRuneInString(rest)
					if r != ' ' {
						places[r] = key{row, column}
					}
					rest = rest[size:]
				}
			}
		}
		out = append(out, places)
	}
	return out
}()

// walks marks straight walks over neighbouring keys, in any direction, of three
// keys or more that join up to at least four: qwerty, lkjh, 1qaz2wsx, qweasd,
// 147258.
func (t text) walks() cover {
	all := make(cover, len(t.folded))
	for _, places := range keys {
		c := make(cover, len(t.folded))
		start, dir := 0, key{}
		for i := 1; i <= len(t.folded); i++ {
			step := key{}
			if i < len(t.folded) {
				step = stepOf(places, t.folded[i-1], t.folded[i])
			}
			if step != (key{}) && step == dir {
				continue
			}
			if dir != (key{}) && i-start >= 3 {
				c.mark(start, i)
			}
			start, dir = i-1, step
		}
		all.add(c.keepRuns(4))
	}
	return all
}

// stepOf is the way from one key to the next; zero when they are not neighbours.
func stepOf(places map[rune]key, from, to rune) key {
	a, ok := places[from]
	b, there := places[to]
	if !ok || !there {
		return key{}
	}
	d := key{b.row - a.row, b.column - a.column}
	if d.row < -1 || d.row > 1 || d.column < -1 || d.column > 1 {
		return key{}
	}
	return d
}

// orders are sequences that neither alphabets nor numbers give.
var orders = []string{
	"あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん",
	"いろはにほへとちりぬるをわかよたれそつねならむうゐのおくやまけふこえてあさきゆめみしゑひもせす",
	"一二三四五六七八九十百千万",
	"子丑寅卯辰巳午未申酉戌亥",
	"甲乙丙丁戊己庚辛壬癸",
	"月火水木金土日月",
	"春夏秋冬春",
}

// sequences marks runs that go up or down by one (abcd, 4321, いろは) or, for
// digits, by two (2468), of three characters or more that join up to four.
func (t text) sequences() cover {
	c := make(cover, len(t.kana))
	run := func(next func(a, b rune) int) {
		start, dir := 0, 0
		for i := 1; i <= len(t.kana); i++ {
			step := 0
			if i < len(t.kana) {
				step = next(t.kana[i-1], t.kana[i])
			}
			if step != 0 && step == dir {
				continue
			}
			if dir != 0 && i-start >= 3 {
				c.mark(start, i)
			}
			start, dir = i-1, step
		}
	}
	run(ascending)
	for _, o := range orders {
		place := map[rune]int{}
		for i, r := range []rune(o) {
			if _, ok := place[r]; !ok {
				place[r] = i + 1
			}
		}
		last := len([]rune(o))
		run(func(a, b rune) int {
			x, y := place[a], place[b]
			if x == 0 || y == 0 {
				return 0
			}
			switch {
			case y-x == 1 || x == last-1 && y == 1:
				return 1
			case x-y == 1:
				return -1
			}
			return 0
		})
	}
	return c.keepRuns(4)
}

func ascending(a, b rune) int {
	letter := func(r rune) bool { return r >= 'a' && r <= 'z' }
	digit := func(r rune) bool { return r >= '0' && r <= '9' }
	d := int(b - a)
	switch {
	case letter(a) && letter(b) && (d == 1 || d == -1):
		return d
	case digit(a) && digit(b) && (d == 1 || d == -1 || d == 2 || d == -2):
		return d
	case a == '9' && b == '0':
		return 1
	case a == '0' && b == '9':
		return -1
	}
	return 0
}

// repetitions marks what only repeats what stood before: a character a third
// time and on, and any stretch of four or more seen already (kumokumo, 121212).
func (t text) repetitions() cover {
	s := t.kana
	c := make(cover, len(s))
	for i := 2; i < len(s); i++ {
		if s[i] == s[i-1] && s[i] == s[i-2] {
			c.mark(i, i+1)
		}
	}
	// same[i] is the length of the common run that ends at i and at i-gap.
	for gap := 1; gap < len(s); gap++ {
		length := 0
		for i := gap; i <= len(s); i++ {
			if i < len(s) && s[i] == s[i-gap] {
				length++
				continue
			}
			if length >= 4 {
				c.mark(i-length, i)
			}
			length = 0
		}
	}
	return c
}
