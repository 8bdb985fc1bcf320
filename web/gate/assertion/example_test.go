package assertion_test

import (
	"fmt"
	"log"
	"net/http"

	"sekisho/web/gate/assertion"
)

// An application behind the gate, with one place for those who proved who they are
// by a passkey or a card alone.
func Example() {
	gate, err := assertion.New(assertion.Config{
		Issuer:   "https://sekisho.pref.example", // as people see it
		Audience: "kyuyo",                        // the application's id in policy.yaml
	})
	if err != nil {
		log.Fatal(err)
	}
	app := http.NewServeMux()
	app.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		who, _ := assertion.From(r.Context())
		fmt.Fprintf(w, "こんにちは、%s さん\n", who.Name)
	})
	app.HandleFunc("GET /approvals", func(w http.ResponseWriter, r *http.Request) {
		who, _ := assertion.From(r.Context())
		if !who.AtLeast("phr") || !who.Holds("system_administrator") {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		fmt.Fprintln(w, "…")
	})
	server := &http.Server{Addr: "127.0.0.1:9000", Handler: gate.Require(app)}
	_ = server // log.Fatal(server.ListenAndServe())
}
