package web

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDecodeJSON(t *testing.T) {
	type body struct {
		Login string   `json:"login"`
		N     int      `json:"n,omitempty"`
		L     []string `json:"l,omitempty"`
	}
	for _, tt := range []struct {
		in     string
		status int
		field  string
	}{
		{`{"login":"a"}`, 0, ""},
		{` {"login":"a","n":1,"l":["x"]} `, 0, ""},
		{`{}`, 422, "login"},
		{``, 422, "login"},
		{`{"login":1}`, 422, "login"},
		{`{"login":null}`, 422, "login"},
		{`{"login":"a","n":"1"}`, 422, "n"},
		{`{"login":"a","n":1.5}`, 422, "n"},
		{`{"login":"a","x":1}`, 422, "x"},
		{`{"Login":"a"}`, 422, "Login"},
		{`{"login":"a","login":"b"}`, 400, "login"},
		{`{"login":"a","n":{"k":1,"k":2}}`, 400, "k"},
		{`{"login":"a","l":[{"k":1,"k":2}]}`, 400, "k"},
		{`{"login":"a"}{}`, 400, "body"},
		{`{"login":"a"} x`, 400, "body"},
		{`{"login":"a"`, 400, "body"},
		{`{"login":"a",}`, 400, "body"},
		{`[]`, 400, "body"},
		{`"a"`, 400, "body"},
		{`null`, 400, "body"},
		{"{\"login\":\"\xff\"}", 400, "body"},
		{`{"login":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, 400, "body"},
	} {
		r := &Request{Request: httptest.NewRequest("POST", "/", strings.NewReader(tt.in))}
		var got body
		err := r.DecodeJSON(&got)
		if tt.status == 0 {
			if err != nil || got.Login != "a" {
				t.Errorf("%s: %v", tt.in, err)
			}
			continue
		}
		if p := ProblemOf(err); err == nil || p.Status != tt.status || len(p.Errors) == 0 || p.Errors[0].Field != tt.field {
			t.Errorf("%s: %v", tt.in, ProblemOf(err))
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{"a":"b"}`, `{"a":{"b":[1,{"c":null}]}}`, `{"a":1,"a":2}`, `[]`, `{`, `{"a":"\ud800"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		members, err := object([]byte(in))
		if err != nil {
			return
		}
		// Whatever passes is what encoding/json reads, and nothing is lost.
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(in), &m); err != nil || len(m) != len(members) {
			t.Fatalf("%q: %d members, encoding/json has %d: %v", in, len(members), len(m), err)
		}
	})
}
