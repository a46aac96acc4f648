// Formulas for tools/pages.py: a JSON list of {tex, display} comes in, a list of {html} or {error} goes out.
import fs from 'node:fs'
import { createRequire } from 'node:module'

const katex = createRequire(new URL('../slides/package.json', import.meta.url))('katex')
// What LaTeX would refuse is refused; a letter that KaTeX's fonts lack (½) comes from another font.
const strict = (code) => (code === 'unknownSymbol' ? 'ignore' : 'error')
const made = JSON.parse(fs.readFileSync(0, 'utf8')).map(({ tex, display }) => {
  try {
    return { html: katex.renderToString(tex, { displayMode: display, throwOnError: true, strict, trust: false }) }
  } catch (error) {
    return { error: String(error.message).replace(/^((KaTeX parse error|LaTeX-incompatible input.*?): )+/, '') }
  }
})
fs.writeFileSync(1, JSON.stringify(made))
