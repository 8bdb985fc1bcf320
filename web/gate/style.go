package gate

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
)

// plainStyle dresses the two pages that stand on an application's host, where
// the gate's own style sheet is not.
const plainStyle template.CSS = `body{margin:0;color:#1a1a1c;background:#fff;font:1rem/1.7 "Noto Sans JP","Hiragino Sans","IPAGothic",sans-serif}
main{max-width:36rem;margin:0 auto;padding:2rem 1rem}
h1{font-size:1.5rem;line-height:1.5;margin:0 0 1rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.5rem 1.5rem;margin:1.5rem 0;padding:1rem;border:1px solid #ccc;border-radius:.5rem}
dt{color:#626264}dd{margin:0;overflow-wrap:anywhere}
a{color:#0017c1;display:inline-block;min-height:44px;line-height:44px}
button{font:inherit;font-weight:700;min-height:48px;min-width:10rem;padding:0 1.5rem;color:#fff;background:#0017c1;border:0;border-radius:.5rem}
a:focus-visible,button:focus-visible{outline:4px solid #000;outline-offset:2px;background-color:#ffd43d;color:#1a1a1c}`

// plainStyleHash lets it through a Content-Security-Policy (CSP Level 3,
// section 2.3.1).
var plainStyleHash = func() string {
	sum := sha256.Sum256([]byte(plainStyle))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()
