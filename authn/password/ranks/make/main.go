// Make writes ranks.txt from the word lists of zxcvbn-go.
//
//	go run ./authn/password/ranks/make > authn/password/ranks/ranks.txt
//
// The README beside the file names the lists. The result is the same on every
// run.
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ccojocar/zxcvbn-go/frequency"
)

func main() {
	best := map[string]int{}
	for _, list := range frequency.Lists {
		for i, w := range list.List {
			w = strings.ToLower(w)
			if strings.ContainsAny(w, "\t\n") || w == "" {
				continue
			}
			if was, ok := best[w]; !ok || i+1 < was {
				best[w] = i + 1
			}
		}
	}
	words := make([]string, 0, len(best))
	for w := range best {
		words = append(words, w)
	}
	slices.Sort(words)
	out := bufio.NewWriter(os.Stdout)
	for _, w := range words {
		fmt.Fprintf(out, "%s\t%d\n", w, best[w])
	}
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}
