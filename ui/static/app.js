// Run once every page has been read: palette, shortcuts, menus, the rail. The theme is that of theme.js.
(() => {
  const { set: setTheme, keep: keepTheme, kept: themeKept, mark: markThemes, tab } = window.variosyncTheme;

  // Whoever signs out leaves nothing behind of what was put aside on this machine (panels/dashboard.js).
  addEventListener('submit', (event) => {
    if (new URL(event.target.action, location.href).pathname !== '/auth/sign-out') return;
    try {
      for (const name of Object.keys(localStorage)) if (name.startsWith('variosync-board:')) localStorage.removeItem(name);
    } catch { /* a browser that refuses storage holds nothing */ }
  });

  // ---- command palette ----
  const el = (name, classes, text) => {
    const made = document.createElement(name);
    if (classes) made.className = classes;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const drawing = (shapes) => {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    for (const [name, value] of Object.entries({ class: 'i', viewBox: '0 0 24 24', fill: 'none', stroke: 'currentColor', 'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': 'true' })) svg.setAttribute(name, value);
    svg.innerHTML = shapes; // shapes of our own icons, never a user's words
    return svg;
  };
  const SEARCH = '<path d="m21 21-4.34-4.34"/><circle cx="11" cy="11" r="8"/>';
  const GROUPS = ['Datasets', 'Dashboards', 'Forecasts', 'Actions', 'Pages'];
  const AT_FIRST = { Datasets: 4, Dashboards: 3, Forecasts: 4 }; // while nothing is asked for
  let palette, shown = [], chosen = 0;

  const words = (query) => query.toLowerCase().split(/\s+/).filter(Boolean);
  function marked(text, query, classes) {
    const span = el('span', classes), low = text.toLowerCase();
    const parts = words(query).map((word) => [low.indexOf(word), word.length]).filter(([at]) => at >= 0).sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    let done = 0;
    for (const [at, length] of parts) {
      if (at < done) continue;
      span.append(text.slice(done, at), el('mark', '', text.slice(at, at + length)));
      done = at + length;
    }
    span.append(text.slice(done));
    return span;
  }
  const said = (entry) => `${entry.label} ${entry.where ? `in ${entry.where}` : ''}`.toLowerCase();
  const matches = (entry, query) => words(query).every((word) => said(entry).includes(word));
  // What begins like the query comes first, then what has a word that does; otherwise the order is the server's.
  const rank = (entry, query) => (entry.label.toLowerCase().startsWith(query) ? 0 : said(entry).includes(` ${query}`) ? 1 : 2);

  function build() {
    const dialog = el('dialog', 'over');
    dialog.setAttribute('aria-label', 'Search or jump to');
    const box = el('div', 'palette');
    const line = el('div', 'q');
    const input = el('input');
    Object.assign(input, { type: 'text', placeholder: 'Search or jump to', autocomplete: 'off', spellcheck: false });
    for (const [name, value] of Object.entries({ role: 'combobox', 'aria-label': 'Search or jump to', 'aria-expanded': 'false', 'aria-controls': 'palette-results', 'aria-autocomplete': 'list' })) input.setAttribute(name, value);
    const close = el('button', 'kbd', matchMedia('(max-width: 720px)').matches ? 'Close' : 'Esc');
    Object.assign(close, { type: 'button', title: 'Close' });
    close.dataset.close = '';
    line.append(drawing(SEARCH), input, close);
    const results = el('div', 'results');
    results.id = 'palette-results';
    results.setAttribute('role', 'listbox');
    results.setAttribute('aria-label', 'Results');
    const foot = el('footer');
    for (const [keys, what] of [[['↑', '↓'], 'move'], [['↵'], 'open'], [[modifier(), '↵'], 'open in new tab']]) {
      const part = el('span');
      part.append(...keys.map((key) => el('span', 'kbd', key)), ` ${what}`);
      foot.append(part);
    }
    const total = el('span');
    total.style.marginLeft = 'auto';
    total.setAttribute('aria-live', 'polite');
    foot.append(total);
    const none = el('p', 'none');
    none.setAttribute('role', 'status');
    box.append(line, results, none, foot);
    dialog.append(box);
    document.body.append(dialog);
    input.addEventListener('input', () => { chosen = 0; palette.hasty = null; draw(); });
    input.addEventListener('keydown', (event) => {
      if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
        event.preventDefault();
        if (shown.length) choose((chosen + (event.key === 'ArrowDown' ? 1 : shown.length - 1)) % shown.length);
      } else if (event.key === 'Enter') {
        event.preventDefault();
        const inTab = event.metaKey || event.ctrlKey;
        if (shown.length || palette.state !== 'loading') open(shown[chosen], inTab);
        else palette.hasty = { inTab }; // whoever types faster than the list loads is served when it has
      }
    });
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
    palette = { dialog, input, results, none, total, entries: [], state: 'loading' };
  }

  function draw() {
    const query = palette.input.value.trim().toLowerCase();
    const found = palette.entries.filter((entry) => matches(entry, query));
    if (query) found.sort((a, b) => rank(a, query) - rank(b, query));
    const groups = new Map(GROUPS.map((name) => [name, []]));
    for (const entry of found) groups.set(entry.group, [...(groups.get(entry.group) || []), entry]);
    palette.results.replaceChildren();
    shown = [];
    for (const [name, all] of groups) {
      const entries = all.slice(0, query ? 20 : AT_FIRST[name] ?? 20);
      if (!entries.length) continue;
      const group = el('div');
      group.setAttribute('role', 'group');
      group.setAttribute('aria-label', name);
      const title = el('div', 'h', name);
      title.setAttribute('aria-hidden', 'true');
      const list = el('ul');
      list.setAttribute('role', 'presentation');
      for (const entry of entries) {
        const item = el('li');
        const index = shown.push(entry) - 1;
        item.id = `palette-${index}`;
        item.setAttribute('role', 'option');
        const text = el('span', 'cut');
        text.append(marked(entry.label, query));
        if (entry.where) text.append(' ', marked(`in ${entry.where}`, query, 't3'));
        item.append(drawing(entry.icon), text);
        const right = el('span', 'r', entry.hint || '');
        for (const key of (entry.keys || '').split(' ').filter(Boolean)) right.append(el('span', 'kbd', key.toUpperCase()));
        item.append(right);
        item.addEventListener('mousemove', () => { if (chosen !== index) choose(index); });
        item.addEventListener('click', (event) => open(entry, event.metaKey || event.ctrlKey));
        list.append(item);
      }
      group.append(title, list);
      palette.results.append(group);
    }
    // A listbox without options is none: it stands aside for a sentence.
    palette.results.hidden = !shown.length;
    palette.none.hidden = shown.length > 0;
    palette.input.setAttribute('aria-expanded', shown.length > 0);
    palette.input.removeAttribute('aria-activedescendant');
    palette.none.textContent = shown.length ? '' : { loading: 'Loading…', failed: 'The list could not be loaded. Close this and try again.' }[palette.state] ?? `Nothing is called “${palette.input.value.trim()}”.`;
    palette.total.textContent = palette.state === 'loading' && !shown.length ? '' : found.length === 1 ? '1 result' : `${found.length} results`;
    choose(Math.min(chosen, Math.max(0, shown.length - 1)));
  }

  function choose(index) {
    chosen = index;
    palette.results.querySelectorAll('[role=option]').forEach((item, place) => {
      item.setAttribute('aria-selected', place === index);
      if (place === index) { item.scrollIntoView({ block: 'nearest' }); palette.input.setAttribute('aria-activedescendant', item.id); }
    });
  }

  function open(entry, inTab) {
    if (!entry) return;
    palette.dialog.close();
    const button = entry.press && (document.getElementById(entry.press) || document.querySelector(`[data-act="${entry.press}"]`));
    if (button) button.click();
    else if (!entry.href) return;
    else if (inTab) window.open(entry.href, '_blank', 'noopener');
    else location.assign(entry.href);
  }

  async function showPalette() {
    const app = document.querySelector('.app');
    if (!app) return;
    if (!palette) build();
    if (palette.dialog.open) return;
    palette.input.value = '';
    palette.hasty = null;
    chosen = 0;
    palette.dialog.showModal();
    const own = JSON.parse(app.dataset.actions || '[]');
    palette.entries = palette.entries.length ? palette.entries : own;
    palette.state = 'loading';
    draw();
    try {
      const answer = await fetch('/api/v1/palette', { headers: { Accept: 'application/json' } });
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      palette.entries = [...own, ...(await answer.json())];
      palette.state = 'ready';
    } catch {
      palette.state = 'failed';
    }
    draw();
    if (palette.hasty && palette.dialog.open) open(shown[0], palette.hasty.inTab);
  }

  // ---- shortcuts and menus ----
  const mac = /Mac|iPhone|iPad/.test(navigator.platform);
  const modifier = () => (mac ? '⌘' : 'Ctrl');
  const typing = (target) => target.closest?.('input, textarea, select, [contenteditable=true], dialog[open]');
  const GO = { h: '/', d: '/datasets', v: '/dashboards', e: '/explore', f: '/forecasts', j: '/jobs', n: '/notices', b: '/billing', s: '/settings' };
  let awaited = 0;

  const showKeys = () => {
    const keys = document.getElementById('keys');
    if (keys && !keys.open) keys.showModal();
  };
  addEventListener('keydown', (event) => {
    if ((event.metaKey || event.ctrlKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      showPalette();
      return;
    }
    if (event.metaKey || event.ctrlKey || event.altKey || typing(event.target) || !document.querySelector('.app')) return;
    if (event.key === '?') { event.preventDefault(); showKeys(); return; }
    const second = event.timeStamp - awaited < 1500; // when it was pressed, however long this page was busy
    awaited = 0;
    if (second && GO[event.key]) { event.preventDefault(); location.assign(GO[event.key]); }
    else if (event.key === 'g') awaited = event.timeStamp;
  });

  // Arrows move through an open menu; the browser's own Escape closes it and gives the focus back.
  addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const menu = step && document.querySelector('.menu:popover-open');
    const focused = document.activeElement;
    if (!menu || !(menu.contains(focused) || focused?.getAttribute('popovertarget') === menu.id)) return;
    const items = [...menu.querySelectorAll('a[href], button:not(:disabled)')].filter((item) => item.checkVisibility());
    if (!items.length) return;
    event.preventDefault();
    const at = items.indexOf(focused);
    items[at < 0 ? (step > 0 ? 0 : items.length - 1) : (at + step + items.length) % items.length].focus();
  });

  // Without https there is no clipboard: then what is to be copied is selected, for the keyboard to copy.
  function copyText(button) {
    const source = document.getElementById(button.dataset.copyFrom || '');
    if (!navigator.clipboard) { if (source) getSelection().selectAllChildren(source); return; }
    navigator.clipboard.writeText(button.dataset.copy || location.href).then(() => {
      button.classList.add('copied');
      setTimeout(() => button.classList.remove('copied'), 1600);
    });
  }
  addEventListener('click', (event) => {
    const at = (name) => event.target.closest?.(`[${name}]`);
    const rail = at('data-rail');
    event.target.closest?.('.menu .mi:not([data-theme-set])')?.closest('[popover]')?.hidePopover(); // it has been chosen
    const theme = at('data-theme-set');
    const copy = at('data-copy');
    const row = at('data-href');
    if (rail) document.querySelector('.app').classList.toggle('rail-open');
    else if (at('data-skip')) { event.preventDefault(); document.getElementById('main')?.focus(); }
    else if (at('data-palette')) showPalette();
    else if (at('data-keys')) showKeys();
    else if (at('data-close')) at('data-close').closest('dialog').close();
    else if (theme) {
      setTheme(theme.dataset.themeSet);
      if ('themeKept' in theme.dataset) keepTheme(theme.dataset.themeSet);
      else themeKept(); // the page that offers it keeps it
      theme.closest('[popover]')?.hidePopover();
    }
    else if (copy) copyText(copy);
    else if (row && !event.target.closest('a, button, input, label') && !String(getSelection())) location.assign(row.dataset.href);
    else if (event.target.matches?.('dialog.over')) event.target.close();
  });

  // ---- rail: how many there are of each, and the pinned dashboards, at once as they were last seen in this tab ----
  const COLOURS = ['1', '3', '4', '2', '6', '5', '7', '8'];
  let painted = null;
  function paintRail(found) {
    const rail = document.getElementById('rail'), pins = rail?.querySelector('[data-pins]');
    if (!pins || !found || found.of !== rail.dataset.of) return;
    rail.querySelectorAll('[data-count]').forEach((place) => { place.textContent = found[place.dataset.count] || ''; });
    const links = found.pinned.map(({ id, name }, at) => {
      const link = el('a'), square = el('span', 'sw');
      Object.assign(link, { href: `/dashboards/${id}`, title: name });
      if (location.pathname === link.pathname) link.setAttribute('aria-current', 'page');
      square.style.background = `var(--series-${COLOURS[at % COLOURS.length]})`;
      link.append(square, el('span', 'cut', name));
      return link;
    });
    const list = el('div', 'nav');
    list.append(...links);
    pins.replaceChildren(...(links.length ? [el('div', 'nav-h', 'Pinned'), list] : []));
  }
  window.variosyncRail = async () => {
    const of = document.getElementById('rail')?.dataset.of;
    const answer = await fetch('/api/v1/rail', { headers: { Accept: 'application/json' } }).catch(() => null);
    if (!of || !answer?.ok) return;
    const found = { ...(await answer.json()), of };
    tab.set('variosync_rail', JSON.stringify(found));
    paintRail(found);
  };
  function railStands() {
    const rail = document.getElementById('rail');
    if (!rail?.dataset.of || rail === painted) return;
    painted = rail;
    paintRail(JSON.parse(tab.get('variosync_rail') || 'null'));
    setTimeout(window.variosyncRail, 700); // what the page itself asks for comes first
  }

  // Tabs that do not fit are scrolled to the open one, and a table to its chosen row, whenever they are drawn anew.
  let seen = [];
  const bring = () => {
    const wanted = [...document.querySelectorAll('.tabs [aria-current], .scroll tr.on')];
    for (const item of wanted) {
      if (seen.includes(item)) continue;
      const box = item.closest('.tabs, .scroll'), tab = box.matches('.tabs');
      if (tab) box.scrollLeft = item.offsetLeft - box.offsetLeft - (box.clientWidth - item.offsetWidth) / 2;
      else box.scrollTop = item.offsetTop - box.clientHeight / 2;
    }
    seen = wanted;
  };
  let waiting = 0;
  new MutationObserver(() => { waiting ||= requestAnimationFrame(() => { waiting = 0; railStands(); bring(); }); })
    .observe(document.documentElement, { childList: true, subtree: true });
  railStands();

  // This page's server stops: build the page anew where another one answers, but no earlier than its files have gone.
  window.variosyncMove = async () => {
    window.socket?.io.reconnection(false);
    const sending = () => document.querySelector('.uploads[data-state=sending]');
    const answers = () => fetch('/health/live', { cache: 'no-store', signal: AbortSignal.timeout(3000) }).then((answer) => answer.ok, () => false);
    do await new Promise((next) => setTimeout(next, 250 + 500 * Math.random())); while (sending() || !(await answers()));
    location.reload();
  };

  addEventListener('load', markThemes);
  // Says what only a browser knows: a time's exact value, where the page does not say it.
  addEventListener('mouseover', (event) => {
    const time = event.target.closest?.('time[datetime]');
    if (time && !time.title) time.title = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
  });
})();
