package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"sekisho/policy"
)

// maxDepth bounds how deep JSON may nest.
const maxDepth = 8

// DecodeJSON reads the body into dst, a pointer to a struct with json tags.
// An empty body is an empty object. It is stricter than encoding/json, because
// two readers of one body must never see two things: names must match exactly,
// no name comes twice, nothing follows the object, text is UTF-8.
//
// What is no such JSON is 400; an unknown name, a wrong type or a missing
// field (no "omitempty" in the tag) is 422 and named, all of them at once.
func (r *Request) DecodeJSON(dst any) error {
	body, err := r.BodyBytes()
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	members, err := object(body)
	if err != nil {
		return err
	}
	return fill(members, reflect.ValueOf(dst).Elem())
}

// DecodeObject reads the body as an object whose members the caller knows how to
// read, as strictly as DecodeJSON.
func (r *Request) DecodeObject() (map[string]json.RawMessage, error) {
	body, err := r.BodyBytes()
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	members, err := object(body)
	if err != nil {
		return nil, err
	}
	out := make(map[string]json.RawMessage, len(members))
	for _, m := range members {
		out[m.name] = m.raw
	}
	return out, nil
}

// BodyBytes is the body as it was sent, at most 64 KiB. It can be asked again.
func (r *Request) BodyBytes() ([]byte, error) {
	if r.body == nil && r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, bodyError(err)
		}
		r.body = b
	}
	return r.body, nil
}

func bodyError(err error) error { return Malformed("body", err) }

type member struct {
	name string
	raw  json.RawMessage
}

// object takes a body apart into the members of its one object.
func object(body []byte) ([]member, error) {
	if !utf8.Valid(body) {
		return nil, Malformed("body", errors.New("not UTF-8"))
	}
	if err := shape(body); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, Malformed("body", errors.New("not a JSON object"))
	}
	var out []member
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, Malformed("body", err)
		}
		m := member{name: fmt.Sprint(key)}
		if err := dec.Decode(&m.raw); err != nil {
			return nil, Malformed("body", err)
		}
		out = append(out, m)
	}
	return out, nil
}

// shape checks depth, doubled names at every level, and what follows the end.
func shape(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		key   bool            // a name comes next
	}
	var stack []level
	for n := 0; ; n++ {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) && len(stack) == 0 && n > 0 {
			return nil
		}
		if err != nil {
			return Malformed("body", err)
		}
		if n > 0 && len(stack) == 0 {
			return Malformed("body", errors.New("something follows the object"))
		}
		top := len(stack) - 1
		if name, ok := t.(string); ok && top >= 0 && stack[top].names != nil && stack[top].key {
			if stack[top].names[name] {
				return Malformed(name, errors.New("given twice"))
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
		if len(stack) > maxDepth {
			return Malformed("body", errors.New("nested too deep"))
		}
		if top = len(stack) - 1; top >= 0 && t != json.Delim('{') {
			stack[top].key = stack[top].names != nil
		}
	}
}

func fill(members []member, dst reflect.Value) error {
	fields, missing := map[string]int{}, map[string]bool{}
	order := make([]string, 0, dst.NumField())
	for i := range dst.NumField() {
		name, options, _ := strings.Cut(dst.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = i
		order = append(order, name)
		missing[name] = !strings.Contains(options, "omitempty")
	}
	var wrong []FieldError
	for _, m := range members {
		i, known := fields[m.name]
		if !known {
			wrong = append(wrong, FieldError{m.name, "unknown", policy.Words{JA: "この項目はありません。", EN: "There is no such field."}})
			continue
		}
		missing[m.name] = false
		if string(m.raw) == "null" || json.Unmarshal(m.raw, dst.Field(i).Addr().Interface()) != nil {
			wrong = append(wrong, FieldError{m.name, "type", policy.Words{JA: "値の型が違います。", EN: "The value is of the wrong type."}})
		}
	}
	for _, name := range order {
		if missing[name] {
			wrong = append(wrong, FieldError{name, "required", policy.Words{JA: "必要な項目です。", EN: "This field is required."}})
		}
	}
	if len(wrong) > 0 {
		return Invalid(wrong...)
	}
	return nil
}
