package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authz"
	"sekisho/web"
)

// document is the OpenAPI 3.1 description, made from the same table as the mux
// and from the same Go types as the answers.
func document(srv *web.Server, ops []operation) []byte {
	paths := map[string]map[string]any{}
	for _, op := range ops {
		if paths[op.path] == nil {
			paths[op.path] = map[string]any{}
		}
		paths[op.path][strings.ToLower(op.method)] = describe(op)
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "Sekisho", "version": "1",
			"description": "Sign-in, sessions, factors, policy and trail. Errors are RFC 9457 problems with a stable code.",
			"license":     map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []any{map[string]any{"url": strings.TrimSuffix(srv.PublicURL().String(), "/")}},
		"paths":   paths,
		"components": map[string]any{
			"securitySchemes": map[string]any{"session": map[string]any{"type": "apiKey", "in": "cookie", "name": "__Host-sekisho"}},
			"schemas":         map[string]any{"Problem": problemSchema()},
		},
	}
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		panic("api: the OpenAPI document: " + err.Error()) // made of literals
	}
	return b
}

func describe(op operation) map[string]any {
	out := map[string]any{"summary": op.says, "operationId": operationID(op)}
	if op.open {
		out["security"] = []any{}
	} else {
		out["security"] = []any{map[string]any{"session": []any{}}}
	}
	var params []any
	for part := range strings.SplitSeq(op.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params = append(params, param(strings.TrimSuffix(name, "}"), "path", true, "string"))
		}
	}
	for _, q := range op.query {
		kind := "string"
		if slices.Contains(op.numbers, q) {
			kind = "integer"
		}
		params = append(params, param(q, "query", false, kind))
	}
	if op.method != "GET" {
		params = append(params, param("X-CSRF-Token", "header", false, "string"))
	}
	if op.once {
		params = append(params, param("Idempotency-Key", "header", false, "string"))
	}
	if params != nil {
		out["parameters"] = params
	}
	if op.body != nil {
		s := schemaOf(reflect.TypeOf(op.body))
		out["requestBody"] = map[string]any{
			// An object of unknown members says nothing of which are needed, but
			// there is no use in sending none.
			"required": s["required"] != nil || s["properties"] == nil,
			"content":  map[string]any{"application/json": map[string]any{"schema": s}},
		}
	}
	done := map[string]any{"description": "Done."}
	if op.answer != nil {
		done["content"] = map[string]any{"application/json": map[string]any{"schema": schemaOf(reflect.TypeOf(op.answer))}}
	}
	responses := map[string]any{strconv.Itoa(op.status): done}
	for status, codes := range refusals(op) {
		responses[status] = map[string]any{
			"description": "code: " + strings.Join(codes, ", "),
			"content": map[string]any{"application/problem+json": map[string]any{
				"schema": map[string]any{"$ref": "#/components/schemas/Problem"}}},
		}
	}
	out["responses"] = responses
	return out
}

// refusals is every code that an operation can answer, by status.
func refusals(op operation) map[string][]string {
	codes := append([]string{web.CodeMalformed, web.CodeBroken, web.CodeBusy, web.CodeAway}, op.codes...)
	if !op.open {
		codes = append(codes, web.CodeNoSession)
	}
	if op.method != "GET" {
		codes = append(codes, web.CodeCSRF, web.CodeMediaType, web.CodeTooLarge)
	}
	if op.body != nil || op.query != nil {
		codes = append(codes, web.CodeInvalid)
	}
	if op.once {
		codes = append(codes, web.CodeIdempotency)
	}
	out := map[string][]string{}
	for _, c := range web.Codes() {
		if slices.Contains(codes, c.Code) {
			status := strconv.Itoa(c.Status)
			out[status] = append(out[status], c.Code)
		}
	}
	return out
}

func operationID(op operation) string {
	id := strings.ToLower(op.method)
	for part := range strings.FieldsFuncSeq(strings.TrimPrefix(op.path, "/api/v1"), func(r rune) bool { return r == '/' || r == '-' || r == '{' || r == '}' }) {
		id += strings.ToUpper(part[:1]) + part[1:]
	}
	return id
}

func param(name, in string, required bool, kind string) map[string]any {
	return map[string]any{"name": name, "in": in, "required": required, "schema": map[string]any{"type": kind}}
}

func problemSchema() map[string]any {
	var codes []any
	for _, c := range web.Codes() {
		codes = append(codes, c.Code)
	}
	var moves []any
	for _, m := range authz.Moves() {
		moves = append(moves, string(m))
	}
	str, num := map[string]any{"type": "string"}, map[string]any{"type": "integer"}
	return map[string]any{
		"type":     "object",
		"required": []any{"type", "title", "status", "detail", "code"},
		"properties": map[string]any{
			"type": str, "title": str, "status": num, "detail": str,
			"code":     map[string]any{"type": "string", "enum": codes},
			"articles": map[string]any{"type": "array", "items": str},
			"errors": map[string]any{"type": "array", "items": map[string]any{
				"type": "object", "required": []any{"field", "rule", "detail"}, "additionalProperties": false,
				"properties": map[string]any{"field": str, "rule": str, "detail": str}}},
			"required_acr": str, "max_age": num,
			"away": map[string]any{"type": "array", "items": str},
			"next": map[string]any{
				"type": "object", "required": []any{"step", "detail"}, "additionalProperties": false,
				"properties": map[string]any{"step": map[string]any{"type": "string", "enum": moves}, "detail": str, "url": str}},
		},
	}
}

// schemaOf is the JSON Schema of what encoding/json makes of a type.
func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return map[string]any{"type": "object"}
	case t == reflect.TypeFor[[]byte]():
		return map[string]any{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := schemaOf(t.Elem())
		s["type"] = []any{s["type"], "null"}
		return s
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		props, needed := map[string]any{}, []any{}
		for i := range t.NumField() {
			name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			props[name] = schemaOf(t.Field(i).Type)
			if !strings.Contains(options, "omitempty") {
				needed = append(needed, name)
			}
		}
		s := map[string]any{"type": "object", "additionalProperties": false, "properties": props}
		if len(needed) > 0 {
			s["required"] = needed
		}
		return s
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.String:
		return map[string]any{"type": "string"}
	}
	panic("api: no schema for " + t.String())
}
