package openid

import "html/template"

// plainStyle dresses the page that carries an answer to an application as a form,
// which is seen for a moment or, without scripts, has one button.
const plainStyle template.CSS = `body{margin:0;color:#1a1a1c;background:#fff;font:1rem/1.7 "Noto Sans JP","Hiragino Sans","IPAGothic",sans-serif}
main{max-width:36rem;margin:0 auto;padding:2rem 1rem}
h1{font-size:1.5rem;line-height:1.5;margin:0 0 1rem}
button{font:inherit;font-weight:700;min-height:48px;min-width:10rem;margin:.5rem 0;padding:0 1.5rem;color:#fff;background:#0017c1;border:1px solid #0017c1;border-radius:.5rem}
button:focus-visible{outline:4px solid #000;outline-offset:2px;background-color:#ffd43d;color:#1a1a1c}`
