#!/usr/bin/env python3
"""Look at built decks as an audience would, in a Chromium without a network.

    python slides/check.py slides/built/02-*.html                   what is wrong with each slide
    python slides/check.py slides/built/02-*.html --pictures DIR    and a picture of every slide, 1280 x 720

Measured: overflow, clipping, letters under 24 pixels, contrast under 7:1, broken formulas and pictures, pictures without
a description or not at their own size, missing notes, requests to anywhere. Needs playwright and a Chromium.
"""
import argparse
import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from build import CONTRAST, LETTER, chromium  # noqa: E402

QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]

MEASURE = r"""
async ({letter, contrast, slack}) => {
  await Promise.all([...document.fonts].map(f => f.load()));       // fonts of slides not yet shown load lazily
  await Promise.all([...document.images].map(i => i.decode().catch(() => 0)));
  const out = [], slides = [...document.querySelectorAll('svg[data-marpit-svg]')];
  const numbers = c => (c.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = c => { const [r, g, b] = numbers(c).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = el => { for (; el; el = el.parentElement) { const c = numbers(getComputedStyle(el).backgroundColor);
    if (c.length < 4 || c[3] > 0) return getComputedStyle(el).backgroundColor; } return 'rgb(255,255,255)'; };
  const ratio = (a, b) => { const [h, l] = [light(a), light(b)].sort((x, y) => y - x); return (h + .05) / (l + .05); };
  slides.forEach((svg, k) => {
    const bad = (what, el, more) => out.push(`slide ${k + 1}: ${what} <${el.tagName.toLowerCase()}> ` +
        `"${(el.textContent || el.alt || '').trim().slice(0, 40)}" ${more || ''}`);
    const s = svg.querySelector('section');
    const S = s.getBoundingClientRect(), scale = S.width / s.offsetWidth, cs = getComputedStyle(s);
    if (!S.width) return out.push(`slide ${k + 1}: not laid out`);
    const px = v => parseFloat(v) * scale;
    const box = {l: S.left + px(cs.paddingLeft), r: S.right - px(cs.paddingRight),
                 t: S.top + px(cs.paddingTop), b: S.bottom - px(cs.paddingBottom)};
    const over = r => [box.l - r.left, r.right - box.r, box.t - r.top, r.bottom - box.b];
    const outside = r => r.width && r.height && over(r).some(v => v > slack);
    const where = r => over(r).map((v, i) => v > slack ? ['left', 'right', 'top', 'bottom'][i] + '+' + Math.round(v / scale) + 'px' : '')
        .filter(Boolean).join(' ');
    const margin = el => el.closest('header, footer');
    s.querySelectorAll('h1,h2,h3,h4,p,li,pre,blockquote,table,img,svg,mjx-container,.bars,.stage').forEach(el => {
      if (margin(el) || (el.tagName === 'svg' && el.closest('mjx-container'))) return;
      const r = el.getBoundingClientRect(), high = el.tagName === 'MJX-CONTAINER' && el.closest('h1, h2') ? 12 * scale : 0;
      if (outside({...r.toJSON(), top: r.top + high})) bad('overflow', el, where(r)); });
    s.querySelectorAll('mjx-container > svg').forEach(el => {
      const r = el.getBoundingClientRect(); if (outside(r)) bad('overflow (formula)', el.parentNode, where(r)); });
    [s, ...s.querySelectorAll('pre, pre code, td, .stage')].forEach(el => {
      const spare = el.matches('.stage') ? 5 : 1;
      if (el.scrollWidth > el.clientWidth + spare && el.clientWidth) bad('clipped', el, `by ${el.scrollWidth - el.clientWidth}px in width`);
      if (el.scrollHeight > el.clientHeight + spare && el.clientHeight) bad('clipped', el, `by ${el.scrollHeight - el.clientHeight}px in height`); });
    const seen = [...s.querySelectorAll('h1,h2,h3,p,pre,table,ul,ol,blockquote,.bars,.stage')].filter(el =>
      !margin(el) && !el.parentElement.closest('ul,ol,blockquote,table,pre,.stage,.bars') && el.getClientRects().length);
    seen.forEach((a, i) => seen.slice(i + 1).forEach(b => { const p = a.getBoundingClientRect(), q = b.getBoundingClientRect();
      const w = Math.min(p.right, q.right) - Math.max(p.left, q.left), h = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (w > 4 * scale && h > 4 * scale && !a.contains(b) && !b.contains(a)) bad('overlap', a, `and <${b.tagName.toLowerCase()}>`); }));
    const w = document.createTreeWalker(s, NodeFilter.SHOW_TEXT);
    for (let n; (n = w.nextNode());) {
      const el = n.parentElement;
      if (!n.data.trim() || el.closest('script, style, mjx-container, [hidden]')) continue;
      const r = document.createRange(); r.selectNodeContents(n);
      const rects = [...r.getClientRects()], style = getComputedStyle(el), size = parseFloat(style.fontSize);
      if (!rects.length) continue;
      const lead = size * .3 * scale;                                // a glyph box may stand out of a tight line box
      if (!margin(el) && !el.closest('pre') && rects.some(q => outside({left: q.left, right: q.right, top: q.top + lead, bottom: q.bottom - lead, width: q.width,
          height: q.height}))) bad('text overflow', el, where(r.getBoundingClientRect()));
      if (size < letter) bad('text too small', el, size + 'px');
      const c = ratio(style.color, behind(el));
      if (c < contrast) bad('contrast too low', el, c.toFixed(1));
    }
    s.querySelectorAll('mjx-container').forEach(m => {               // formulas take their colour from the text around them
      const inks = [m, ...m.querySelectorAll('[fill], [color], [style*=color]')].map(e => getComputedStyle(e));
      const pale = inks.map(i => ratio(i.fill.startsWith('rgb') ? i.fill : i.color, behind(m))).sort((x, y) => x - y)[0];
      if (pale < contrast) bad('contrast too low', m, 'formula ' + pale.toFixed(1)); });
    s.querySelectorAll('mjx-container > svg').forEach(m => {         // Marp shrinks a wide formula: 1000 units are 1 em
      const r = m.getBoundingClientRect(), v = m.viewBox.baseVal;
      const em = Math.min(r.width / v.width, r.height / v.height) * 1000 / scale;
      if (r.width && em < letter) bad('formula too small', m.parentNode, em.toFixed(1) + 'px'); });
    s.querySelectorAll('[data-mml-node="merror"], .katex-error').forEach(m => bad('broken formula', m, m.getAttribute('data-mjx-error') || ''));
    s.querySelectorAll('img').forEach(i => {
      if (!i.naturalWidth) bad('broken picture', i, i.src.slice(0, 80));
      const r = i.getBoundingClientRect();
      if (i.dataset.name && r.width && Math.abs(r.width / scale - i.getAttribute('width')) > 2) bad('picture not at its own size', i, Math.round(r.width / scale) + 'px');
      if (!i.alt.trim() || (i.dataset.name && i.alt.trim().length < 20)) bad('picture without a description', i, i.dataset.name || ''); });
  });
  const notes = [...document.querySelectorAll('.bespoke-marp-note')];
  notes.forEach((n, k) => { if (!n.textContent.trim()) out.push(`slide ${k + 1}: empty note`); });
  if (notes.length !== slides.length) out.push(`${notes.length} speaker notes for ${slides.length} slides`);
  return {slides: slides.length, problems: [...new Set(out)]};
}"""


@contextlib.contextmanager
def browser():
    """A Chromium without a network. Raises FileNotFoundError if there is none."""
    path = chromium()
    if not path:
        raise FileNotFoundError("Chromium is missing: install it (Debian: sudo apt-get install chromium), or set CHROME_PATH.")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=path, args=[*QUIET, *(["--no-sandbox"] if root else [])])
        try:
            yield b
        finally:
            b.close()


def opened(browser, html, context=None):
    """A page that shows the file `html`; page.outside collects requests to anything else, page.errors what the page complains of."""
    context = context or browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page, url = context.new_page(), pathlib.Path(html).resolve().as_uri()
    page.outside, page.errors = [], []
    page.on("request", lambda r: r.url.split("#")[0].split("?")[0] != url and not r.url.startswith(("data:", "blob:", "about:"))
            and page.outside.append(r.url[:200]))
    page.on("pageerror", lambda e: page.errors.append(str(e)))
    page.on("console", lambda m: m.type == "error" and page.errors.append(m.text))
    page.goto(url)
    page.wait_for_selector("svg[data-marpit-svg].bespoke-marp-active")
    return page


def check(browser, html):
    """{"slides": number, "problems": sentences} for one built deck, opened alone from an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        page = opened(browser, shutil.copy(html, folder))
        found = page.evaluate(MEASURE, {"letter": LETTER, "contrast": CONTRAST, "slack": 1.5})
        page.emulate_media(media="print")
        on_paper = page.evaluate(MEASURE, {"letter": LETTER, "contrast": CONTRAST, "slack": 1.5})["problems"]
        found["problems"] += [f"on paper, {problem}" for problem in on_paper if problem not in found["problems"]]
        found["problems"] += [f"outside request: {url}" for url in page.outside] + [f"page error: {error}" for error in page.errors]
        page.context.close()
    return found


def photograph(browser, html, folder):
    """A picture of every slide, with all its steps shown, as folder/NN.png."""
    folder.mkdir(parents=True, exist_ok=True)
    page = opened(browser, html)
    page.add_style_tag(content="[data-bespoke-marp-fragment=inactive]{visibility:visible!important}.bespoke-marp-osc{display:none!important}")
    for k in range(1, page.locator("svg[data-marpit-svg]").count() + 1):
        page.evaluate("k => { location.hash = '#' + k }", k)
        page.wait_for_timeout(120)
        page.screenshot(path=folder / f"{k:02d}.png")
    page.context.close()


def main():
    parser = argparse.ArgumentParser(description="Check built decks in a Chromium without a network.")
    parser.add_argument("decks", nargs="+", type=pathlib.Path)
    parser.add_argument("--pictures", type=pathlib.Path, help="folder for a picture of every slide")
    given = parser.parse_args()
    wrong = 0
    with browser() as b:
        for deck in given.decks:
            found = check(b, deck)
            print(f"{deck.name}: {found['slides']} slides, {len(found['problems'])} problems", *found["problems"], sep="\n  ")
            wrong += len(found["problems"])
            if given.pictures:
                photograph(b, deck, given.pictures / deck.stem if len(given.decks) > 1 else given.pictures)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
