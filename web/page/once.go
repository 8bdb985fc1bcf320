package page

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"

	"sekisho/web"
)

// freshKey is the key of a form that asks for something: what is sent twice under it is
// asked for once.
func freshKey() string { return rand.Text() }

// keyOf is the key of what a posted form asks for; "" where it has none. What the form
// says is part of it: whoever goes back to a form that was sent and asks for something
// else asks anew. of tells apart several things that one form asks for.
func keyOf(r *web.Request, of string) string {
	if r.PostForm.Get("key") == "" {
		return ""
	}
	said := url.Values{}
	for name, values := range r.PostForm {
		if name != "csrf_token" {
			said[name] = values
		}
	}
	sum := sha256.Sum256([]byte(of + "\x00" + said.Encode()))
	return "form " + base64.RawURLEncoding.EncodeToString(sum[:])
}

// keptKey is the form's key as it was sent, for the form that is shown again; a new one
// where it had none.
func keptKey(r *web.Request) string {
	if key := r.PostForm.Get("key"); key != "" && len(key) <= mostID {
		return key
	}
	return freshKey()
}
