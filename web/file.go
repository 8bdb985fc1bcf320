package web

import (
	"fmt"
	"io"
	"mime"
	"net/url"
	"strconv"

	"sekisho/authn/session"
	"sekisho/policy"
)

// MostFile is the size of file that a page takes which has no reason for another.
const MostFile = 1 << 20

const (
	withFiles = "multipart/form-data" // RFC 7578
	// mostParts is more than any form of ours has.
	mostParts = 100
)

// A File came with a form. Name is what the sender calls it: it says nothing of what
// is inside.
type File struct {
	Name string
	Data []byte
}

// File is one of the form's; false where none was chosen.
func (r *Request) File(field string) (File, bool) {
	f, ok := r.files[field]
	return f, ok
}

// parse reads a posted form. given is the token that a header has brought.
//
// Files are kept in memory and never on a disk, and no file is read for a stranger:
// the token against forged requests must have come before it. A form without one goes
// on with no files, and is refused as any other, or has no session to act in.
func (s *Server) parse(r *Request, given string) error {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // contentType has read it
	if r.most == 0 || kind != withFiles {
		if err := r.ParseForm(); err != nil {
			return bodyError(err)
		}
		return nil
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return bodyError(err)
	}
	r.PostForm, r.files = url.Values{}, map[string]File{}
	text, left := int64(maxBody), r.most
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		switch {
		case err == io.EOF: //nolint:errorlint // what was cut off wraps the same error
			r.Form = r.PostForm
			return nil
		case err != nil:
			return bodyError(err)
		case n == mostParts, part.FormName() == "":
			return bodyError(fmt.Errorf("part %d of the form", n+1))
		}
		field, room := part.FormName(), &text
		if part.FileName() != "" {
			if given == "" {
				given = r.PostForm.Get("csrf_token")
			}
			// Whoever asks for a passkey has a cookie with its token, of a sign-in.
			stranger := r.Cookie == "" || session.KindOf(r.Cookie) == session.KindFlow
			if stranger || !s.cfg.Guard.CheckCSRF(r.Cookie, given) {
				return nil
			}
			room = &left
		}
		data, err := io.ReadAll(io.LimitReader(part, *room+1))
		if err != nil {
			return bodyError(err)
		}
		if *room -= int64(len(data)); *room < 0 {
			return tooLargeAFile(r.most)
		}
		if part.FileName() == "" {
			r.PostForm.Add(field, string(data))
			continue
		}
		if _, twice := r.files[field]; twice {
			return bodyError(fmt.Errorf("two files in %q", field))
		}
		r.files[field] = File{part.FileName(), data}
	}
}

// tooLargeAFile says how much a form may bring.
func tooLargeAFile(most int64) error {
	kib := strconv.FormatInt(most>>10, 10)
	return Say(CodeTooLarge, policy.Words{
		JA: "ファイルは" + kib + " KiBまで、欄に貼り付けるときは64 KiBまでです。いくつかに分けて送ってください。",
		EN: "A file may have " + kib + " KiB, what is pasted into a field 64 KiB. Please send it in parts."})
}
