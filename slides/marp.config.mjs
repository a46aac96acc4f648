import path from 'node:path'
import { fileURLToPath } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
export default {
  engine: path.join(here, 'engine.mjs'),
  html: false, // decks are Markdown only; the engine makes the one piece of HTML
  allowLocalFiles: false, // everything is inlined, so no local file is ever needed
  lang: 'en', // else it is taken from the machine's locale
  bespoke: { progress: false }, // a progress bar would shrink the slide
  options: { math: 'mathjax', emoji: { shortcode: false, unicode: false } }, // no emoji from a CDN
}
