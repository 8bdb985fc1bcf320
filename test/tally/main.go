// Command tally reads the JSON of go test, prints what failed and a line for
// each package, and ends with the number of tests that passed and failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

func main() {
	var (
		passed, failed, skipped int
		output                  = map[string][]string{}
		in                      = bufio.NewScanner(os.Stdin)
	)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Println(in.Text()) // go itself speaks: a package that does not build
			continue
		}
		key := e.Package + "\x00" + e.Test
		switch e.Action {
		case "output":
			output[key] = append(output[key], e.Output)
		case "build-output":
			fmt.Print(e.Output)
		case "pass", "skip":
			switch {
			case e.Test == "":
				fmt.Printf("%-4s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
			case e.Action == "skip":
				skipped++
				fmt.Printf("skip %s %s\n%s", e.Package, e.Test, strings.Join(output[key], ""))
			default:
				passed++
			}
			delete(output, key)
		case "fail":
			failed++
			fmt.Printf("FAIL %s %s\n%s", e.Package, e.Test, strings.Join(output[key], ""))
			delete(output, key)
		}
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "tally: reading go test's output:", err)
		os.Exit(1)
	}
	if skipped > 0 {
		fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	} else {
		fmt.Printf("%d passed, %d failed\n", passed, failed)
	}
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}
