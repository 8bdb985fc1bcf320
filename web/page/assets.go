package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"slices"

	"sekisho/web"
)

//go:embed assets/sekisho.css
var styleText []byte

//go:embed assets/office.css
var officeText []byte

//go:embed assets/lend.css
var lendText []byte

//go:embed assets/guard.css
var guardText []byte

//go:embed assets/sekisho.js
var scriptText []byte

// An asset is a file that pages ask for. Its address names what is in it, so
// that a browser may keep it for ever and still never shows an old one.
type asset struct {
	url, kind string
	text      []byte
}

var (
	style  = newAsset("css", "text/css; charset=utf-8", slices.Concat(styleText, officeText, lendText, guardText))
	script = newAsset("js", "text/javascript; charset=utf-8", scriptText)
)

func newAsset(suffix, kind string, text []byte) asset {
	sum := sha256.Sum256(text)
	return asset{"/assets/sekisho-" + hex.EncodeToString(sum[:8]) + "." + suffix, kind, text}
}

func (a asset) serve(w http.ResponseWriter, _ *web.Request) error {
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.text) // if the reader has gone, there is nobody left to tell
	return nil
}
