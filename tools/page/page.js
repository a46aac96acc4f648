// What is wider than the page scrolls sideways; then, and only then, the keyboard must be able to reach it.
(() => {
  const look = () => {
    for (const e of document.querySelectorAll('pre, .scroll, .picture, .katex-display, .figure')) {
      const wide = e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
      if (wide === e.hasAttribute('data-wide')) continue
      if (wide) {
        const name = e.matches('pre') ? 'Text' : e.matches('.scroll') ? 'Table' : e.matches('.katex-display') ? 'Formula' : 'Picture'
        for (const [key, value] of [['data-wide', ''], ['tabindex', '0'], ['role', 'group'], ['aria-label', name + ', wider than the page']]) e.setAttribute(key, value)
      } else for (const key of ['data-wide', 'tabindex', 'role', 'aria-label']) e.removeAttribute(key)
    }
  }
  addEventListener('resize', look)
  addEventListener('load', look)
  document.addEventListener('toggle', look, true)
  document.fonts.ready.then(look)
  addEventListener('beforeprint', () => document.querySelectorAll('main details:not([open])').forEach(d => { d.open = true; d.dataset.shut = '' }))
  addEventListener('afterprint', () => document.querySelectorAll('details[data-shut]').forEach(d => { d.open = false; delete d.dataset.shut }))
})()
