package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"sekisho/policy"
)

const (
	maxClaims      = 2048 // bytes of the claims parameter
	maxClaimsDepth = 4
)

// A ClaimsRequest is the claims parameter (OpenID Connect Core section 5.5), as
// far as it names claims that there are.
type ClaimsRequest struct {
	UserInfo []string `json:"u,omitempty"`
	IDToken  []string `json:"i,omitempty"`
	// Sub is the person whom the application means; "" for anybody.
	Sub string `json:"s,omitempty"`
	// ACR are the assurances of which one is essential; nil for none.
	ACR []string `json:"a,omitempty"`
}

var errClaims = errors.New("not a claims request")

// ParseClaims reads the claims parameter. Claims that nobody knows are left out,
// as section 5.5 has it; anything that is not of its form is refused.
func ParseClaims(text string) (ClaimsRequest, error) {
	if text == "" {
		return ClaimsRequest{}, nil
	}
	if len(text) > maxClaims || !plainObject([]byte(text)) {
		return ClaimsRequest{}, errClaims
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil {
		return ClaimsRequest{}, errClaims
	}
	var out ClaimsRequest
	var err error
	if out.UserInfo, err = out.wishes(members["userinfo"]); err != nil {
		return ClaimsRequest{}, err
	}
	if out.IDToken, err = out.wishes(members["id_token"]); err != nil {
		return ClaimsRequest{}, err
	}
	return out, nil
}

type wish struct {
	Essential bool              `json:"essential"`
	Value     json.RawMessage   `json:"value"`
	Values    []json.RawMessage `json:"values"`
}

func (c *ClaimsRequest) wishes(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var asked map[string]*wish
	if json.Unmarshal(raw, &asked) != nil {
		return nil, errClaims
	}
	var out []string
	for name, w := range asked {
		if w != nil && (name == "sub" || name == "acr") {
			values, err := w.texts()
			if err != nil {
				return nil, err
			}
			switch {
			case name == "sub" && len(values) > 1 || name == "sub" && c.Sub != "" && len(values) == 1 && values[0] != c.Sub:
				return nil, errClaims
			case name == "sub" && len(values) == 1:
				c.Sub = values[0]
			case name == "acr" && w.Essential && len(values) > 0:
				c.ACR = values
			}
		}
		if _, known := claimScopes[name]; known {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// texts are the values asked for, which must be text.
func (w *wish) texts() ([]string, error) {
	raw := w.Values
	if len(w.Value) > 0 {
		raw = append(raw, w.Value)
	}
	out := make([]string, len(raw))
	for i, r := range raw {
		if json.Unmarshal(r, &out[i]) != nil || out[i] == "" {
			return nil, errClaims
		}
	}
	return out, nil
}

// claimScopes are the claims about a person that an application may be told
// beside sub, and the scope that a client needs for each; "" for none.
var claimScopes = map[string]string{
	"acr": "", "amr": "", "auth_time": "", "sid": "", "zone": "", "terminal_class": "",
	"preferred_username": policy.ScopeProfile, "name": policy.ScopeProfile, "posts": policy.ScopeProfile,
	"section": policy.ScopeProfile, "privileges": policy.ScopeProfile,
	"email": policy.ScopeEmail, "email_verified": policy.ScopeEmail,
}

// Claims are the names of all claims there are.
func Claims() []string {
	names := []string{"sub", "iss", "aud", "exp", "iat", "nonce", "azp", "at_hash"}
	for name := range claimScopes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// plainObject reports whether text is one JSON object that all readers read
// alike: no name twice, nothing after it, not too deep.
func plainObject(text []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(text))
	type level struct {
		names map[string]bool // nil in an array
		key   bool            // a name comes next
	}
	var stack []level
	for n := 0; ; n++ {
		t, err := dec.Token()
		if err != nil {
			return errors.Is(err, io.EOF) && n > 0 && len(stack) == 0
		}
		if n == 0 && t != json.Delim('{') || n > 0 && len(stack) == 0 {
			return false
		}
		top := len(stack) - 1
		if name, ok := t.(string); ok && top >= 0 && stack[top].names != nil && stack[top].key {
			if stack[top].names[name] {
				return false
			}
			stack[top].names[name], stack[top].key = true, false
			continue
		}
		switch t {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}, key: true})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
		if len(stack) > maxClaimsDepth {
			return false
		}
		if top = len(stack) - 1; top >= 0 && t != json.Delim('{') {
			stack[top].key = stack[top].names != nil
		}
	}
}
