// What Marp does not know: pictures, listings, numbers and sliders that slides/build.py made from ddpm_lib.
// Everything is written into the page, so the deck is one file that needs no network.
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
const assets = process.env.DECK_ASSETS || path.join(here, '_build')
const onPaper = process.env.DECK_PAPER === '1' // PDF: a strip of stills instead of the slider
const MIME = { '.svg': 'image/svg+xml', '.webp': 'image/webp', '.png': 'image/png', '.jpg': 'image/jpeg', '.woff2': 'font/woff2' }

const read = (name, encoding) => {
  const file = path.join(assets, name)
  if (!fs.existsSync(file)) throw new Error(`slides: ${name} was not made; build the decks with slides/build.py`)
  return fs.readFileSync(file, encoding)
}
const facts = (name) => JSON.parse(read(`${name}.json`, 'utf8'))
const dataURI = (name, bytes) => `data:${MIME[path.extname(name)]};base64,${bytes.toString('base64')}`
const svgURI = (text) => `data:image/svg+xml,${text.replace(/"/g, "'").replace(/[%#<>]/g, encodeURIComponent)}` // a quarter shorter than base64
const inline = (name) => (name.endsWith('.svg') ? svgURI(read(name, 'utf8')) : dataURI(name, read(name)))
const esc = (s) => s.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c])

// --- @{ch02.NAME}: a text or number that slides/figures/ch02.py computes, anywhere in a deck (formulas and notes too)
function numbers(md) {
  md.core.ruler.before('normalize', 'deck_numbers', (state) => {
    state.src = state.src.replace(/@\{([\w.]+)\}/g, (_, name) => facts(name).text)
  })
}

// --- ![what is to be seen](fig:ch02.NAME): always at its natural size, so that its letters keep theirs
function pictures(md) {
  const { validateLink } = md
  md.validateLink = (url) => url.startsWith('fig:') || validateLink(url)
  const { image } = md.renderer.rules
  md.renderer.rules.image = (tokens, i, options, env, self) => {
    const token = tokens[i], src = token.attrGet('src')
    if (src.startsWith('fig:')) {
      const fact = facts(src.slice(4))
      token.attrSet('src', inline(fact.file))
      token.attrSet('width', fact.width)
      token.attrSet('height', fact.height)
      token.attrSet('data-name', src.slice(4))
    }
    return image(tokens, i, options, env, self)
  }
}

// --- ```python src=ddpm_lib.ddpm:q_sample (the body stays empty: the library's own source is shown)
function listings(md) {
  md.core.ruler.push('deck_listings', (state) => {
    for (const token of state.tokens) {
      const info = token.type === 'fence' && /^python\s+(src=.+)$/.exec(token.info.trim())
      if (!info) continue
      const key = crypto.createHash('sha1').update(info[1]).digest('hex').slice(0, 12)
      token.content = read(`src-${key}.py`, 'utf8')
      token.info = 'python'
    }
  })
}

// --- ```frames ch02.NAME: one or two sliders over frames computed beforehand. The bar stands above the picture: Marp's
// on-screen buttons cover the bottom of a slide. All windows of one deck show the same frame; a late one asks for it.
const script = `<script>(()=>{const f=document.currentScript.parentNode,rs=[...f.querySelectorAll('input')],os=[...f.querySelectorAll('output')],
g=[...f.querySelectorAll('figure')],L=JSON.parse(f.dataset.labels),n=L[0].length,stage=f.querySelector('.stage'),
c='BroadcastChannel'in self?new BroadcastChannel('frames:'+location.pathname+f.dataset.name):null,
at=()=>rs.map(r=>+r.value),tell=()=>c&&c.postMessage(at()),
show=v=>{rs.forEach((r,j)=>{r.value=v[j];os[j].textContent=L[j][v[j]];r.setAttribute('aria-valuetext',L[j][v[j]])});
const k=(v[1]||0)*n+v[0];g.forEach((x,j)=>x.classList.toggle('on',j==k))};
for(const r of rs){r.addEventListener('input',()=>{show(at());tell()});r.addEventListener('pointerup',()=>r.blur());
r.addEventListener('keydown',e=>{if(/^(Page|[pfo ]$)/i.test(e.key)){e.preventDefault();r.blur();document.dispatchEvent(new KeyboardEvent('keydown',e))}
else if(/^(Arrow|Home|End)/.test(e.key))e.stopPropagation()});
for(const t of['touchstart','touchmove','touchend','wheel'])r.addEventListener(t,e=>e.stopPropagation(),{passive:true})}
show(rs.map(r=>+r.dataset.start));if(c){c.onmessage=e=>e.data==='?'?tell():show(e.data);c.postMessage('?')}})()</script>`

function sliders(md) {
  const { fence } = md.renderer.rules
  md.renderer.rules.fence = (tokens, i, options, env, self) => {
    const m = /^frames\s+([\w.]+)/.exec(tokens[i].info)
    if (!m) return fence(tokens, i, options, env, self)
    const F = facts(m[1])
    const figures = F.frames.map(({ files, label, still }, k) => {
      if (onPaper && !still) return ''
      const img = files.map((file, j) => {
        const { width, height, sharp } = F.parts[j]
        const alt = j ? `${label}, continued` : label
        return `<img class="${sharp ? 'sharp' : ''}" style="--w:${width};--h:${height}" src="${inline(file)}" width="${width}" height="${height}" alt="${esc(alt)}">`
      }).join('')
      return `<figure class="${k === F.first ? 'on' : ''}${still ? ' still' : ''}">${img}<figcaption>${esc(label)}</figcaption></figure>`
    })
    const bars = F.sliders.map(({ name, labels, start }) => {
      const output = `<output style="width:${Math.max(...labels.map((l) => l.length)) * 0.58 + 0.5}em">${esc(labels[start])}</output>`
      const range = `<input type="range" min="0" max="${labels.length - 1}" value="${start}" data-start="${start}" aria-label="${esc(name)}" aria-valuetext="${esc(labels[start])}">`
      return `<div class="bar"><span>${esc(name)}</span>${range}${output}</div>`
    })
    const wide = F.parts.reduce((sum, part) => sum + part.width + 24, -24)
    const rows = Math.ceil(F.frames.filter((f) => f.still).length / F.across)
    const tile = ((F.paper / rows - 48) * wide) / Math.max(...F.parts.map((part) => part.height)) // so that all rows fit
    const labels = esc(JSON.stringify(F.sliders.map((s) => s.labels)))
    const stage = `<div class="stage" role="group" aria-label="${esc(F.alt)}" style="--across:${F.across};--tile:${Math.floor(tile)}px">${figures.join('')}</div>`
    const moving = onPaper ? '' : `<div class="bars">${bars.join('')}</div>`
    return `<div class="frames${onPaper ? ' paper' : ''}" data-name="${m[1]}" data-labels="${labels}" style="--wide:${wide}px">${moving}${stage}${onPaper ? '' : script}</div>`
  }
}

// --- fonts travel inside the file: the same line breaks on every machine
const face = (family, pkg, weight, style) => {
  const file = `${pkg}-latin-${weight}-${style}.woff2`
  const bytes = fs.readFileSync(path.join(here, 'node_modules/@fontsource', pkg, 'files', file))
  return `@font-face{font-family:"${family}";font-weight:${weight};font-style:${style};src:url("${dataURI(file, bytes)}") format("woff2")}`
}
const fonts = [
  face('Deck Sans', 'source-sans-3', 400, 'normal'), face('Deck Sans', 'source-sans-3', 400, 'italic'),
  face('Deck Sans', 'source-sans-3', 700, 'normal'),
  face('Deck Mono', 'source-code-pro', 400, 'normal'), face('Deck Mono', 'source-code-pro', 700, 'normal'),
].join('\n')

export default ({ marp }) => {
  const theme = fs.readFileSync(path.join(here, 'theme.css'), 'utf8').replace('/* FONTS */', fonts)
  marp.themeSet.default = marp.themeSet.add(theme)
  return marp.use(numbers).use(pictures).use(listings).use(sliders)
}
