package web

import (
	"net/http"
	"strings"
	"testing"
)

// multipartForm writes a form as a browser does: "name" for a field, "name=file" for a
// file.
func multipartForm(parts ...[2]string) string {
	var b strings.Builder
	for _, p := range parts {
		name, file, is := strings.Cut(p[0], "=")
		b.WriteString("--xx\r\nContent-Disposition: form-data; name=\"" + name + `"`)
		if is {
			b.WriteString(`; filename="` + file + "\"\r\nContent-Type: text/csv")
		}
		b.WriteString("\r\n\r\n" + p[1] + "\r\n")
	}
	return b.String() + "--xx--\r\n"
}

const asFiles = "Content-Type: multipart/form-data; boundary=xx"

func TestFilesOfAForm(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, nil)
	type heard struct{ cookie, text, name, data string }
	var got heard
	reached := false
	listen := func(w http.ResponseWriter, r *Request) error {
		f, _ := r.File("file")
		reached, got = true, heard{r.Cookie, r.PostForm.Get("note"), f.Name, string(f.Data)}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	s.MountFiles("POST /bring", 1000, listen)
	s.Mount("POST /plain", listen)
	token, note := [2]string{"csrf_token", "t-k.live"}, [2]string{"note", "hello"}
	file := func(n int) [2]string { return [2]string{"file=a.csv", strings.Repeat("b", n)} }
	for _, tt := range []struct {
		name, target, body string
		headers            []string
		status             int
		want               heard
	}{
		{"a file", "/bring", multipartForm(token, note, file(3)), []string{live}, 204, heard{"k.live", "hello", "a.csv", "bbb"}},
		{"the largest", "/bring", multipartForm(token, file(1000)), []string{live}, 204, heard{"k.live", "", "a.csv", strings.Repeat("b", 1000)}},
		{"one byte more", "/bring", multipartForm(token, file(1001)), []string{live}, 413, heard{}},
		{"two that are too large together", "/bring", multipartForm(token, file(600), [2]string{"more=b.csv", strings.Repeat("c", 600)}), []string{live}, 413, heard{}},
		{"far too large", "/bring", multipartForm(token, file(200<<10)), []string{live}, 413, heard{}},
		{"too long a text", "/bring", multipartForm(token, [2]string{"note", strings.Repeat("b", 65<<10)}), []string{live}, 413, heard{}},
		{"none chosen", "/bring", multipartForm(token, note, [2]string{"file=", ""}), []string{live}, 204, heard{"k.live", "hello", "", ""}},
		{"an ordinary form still does", "/bring", "csrf_token=t-k.live&note=hello", []string{live, asForm}, 204, heard{"k.live", "hello", "", ""}},
		{"no token", "/bring", multipartForm(note, file(3)), []string{live}, 403, heard{}},
		{"another's token", "/bring", multipartForm([2]string{"csrf_token", "t-k.other"}, file(3)), []string{live}, 403, heard{}},
		{"the token after the file", "/bring", multipartForm(file(3), token), []string{live}, 403, heard{}},
		{"the token in a header", "/bring", multipartForm(file(3)), []string{live, "X-CSRF-Token: t-k.live"}, 204, heard{"k.live", "", "a.csv", "bbb"}},
		{"the token in the query", "/bring?csrf_token=t-k.live", multipartForm(file(3)), []string{live}, 403, heard{}},
		{"a field in the query is none of the form", "/bring?note=x", multipartForm(token), []string{live}, 204, heard{"k.live", "", "", ""}},
		{"another site", "/bring", multipartForm(token, file(3)), []string{live, "Sec-Fetch-Site: cross-site"}, 403, heard{}},
		{"a dead cookie: its files are not read", "/bring", multipartForm(note, token, file(3)), []string{"Cookie: __Host-sekisho=k.dead"}, 204, heard{"", "hello", "", ""}},
		{"a sign-in under way: its files are not read", "/bring", multipartForm([2]string{"csrf_token", "t-k.flow"}, note, file(3)), []string{"Cookie: __Host-sekisho=k.flow"}, 204, heard{"k.flow", "hello", "", ""}},
		{"nobody: their files are not read", "/bring", multipartForm(note, file(3)), nil, 204, heard{"", "hello", "", ""}},
		{"nobody, and no end to it", "/bring", strings.TrimSuffix(multipartForm(note, file(900)), "--xx--\r\n"), nil, 204, heard{"", "hello", "", ""}},
		{"two files in one field", "/bring", multipartForm(token, file(3), file(3)), []string{live}, 400, heard{}},
		{"a part without a name", "/bring", multipartForm(token, [2]string{"", "x"}), []string{live}, 400, heard{}},
		{"too many parts", "/bring", multipartForm(manyParts(101)...), []string{live}, 400, heard{}},
		{"cut off", "/bring", strings.TrimSuffix(multipartForm(token, file(9)), "--xx--\r\n"), []string{live}, 400, heard{}},
		{"no boundary", "/bring", multipartForm(token), []string{live, "Content-Type: multipart/form-data"}, 400, heard{}},
		{"JSON", "/bring", "{}", []string{live, asJSON}, 415, heard{}},
		{"mixed", "/bring", multipartForm(token), []string{live, "Content-Type: multipart/mixed; boundary=xx"}, 415, heard{}},
		{"a page that takes none", "/plain", multipartForm(token, file(3)), []string{live}, 415, heard{}},
	} {
		reached, got = false, heard{}
		headers := tt.headers
		if !strings.Contains(strings.Join(headers, "\n"), "Content-Type") {
			headers = append(headers, asFiles)
		}
		resp := send(s, "POST", tt.target, tt.body, headers...)
		if resp.StatusCode != tt.status || got != tt.want || reached != (tt.status == 204) {
			t.Errorf("%s: %d, %.80v; want %d, %.80v", tt.name, resp.StatusCode, got, tt.status, tt.want)
		}
	}
}

func manyParts(n int) [][2]string {
	out := make([][2]string, n)
	for i := range out {
		out[i] = [2]string{"note", "x"}
	}
	return out
}

// TestATooLargeFileSaysHowLarge: the reader hears the bound and what to do.
func TestATooLargeFileSaysHowLarge(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, nil)
	s.MountFiles("POST /bring", MostFile, func(http.ResponseWriter, *Request) error { return nil })
	body := multipartForm([2]string{"csrf_token", "t-k.live"}, [2]string{"file=a.csv", strings.Repeat("b", MostFile+1)})
	for lang, want := range map[string]string{"ja": "1024 KiBまで", "en": "1024 KiB"} {
		status, code, got := problem(t, send(s, "POST", "/bring", body, live, asFiles, "Accept-Language: "+lang))
		if detail, _ := got["detail"].(string); status != 413 || code != CodeTooLarge || !strings.Contains(detail, want) {
			t.Errorf("%s: %d %s %v", lang, status, code, got)
		}
	}
}
