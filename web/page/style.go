package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"

	"sekisho/web"
)

//go:embed assets/sekisho.css
var style []byte

// styleURL names the stylesheet by what is in it, so that a browser may keep it
// for ever and still never shows an old one.
var styleURL = func() string {
	sum := sha256.Sum256(style)
	return "/assets/sekisho-" + hex.EncodeToString(sum[:8]) + ".css"
}()

func serveStyle(w http.ResponseWriter, _ *web.Request) error {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(style) // if the reader has gone, there is nobody left to tell
	return nil
}
