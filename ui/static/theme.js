// Stands in the head of every page, before anything is painted: the theme, what this tab remembers, and a page that is
// older than its server.
(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const choice = () => (document.cookie.match(/(?:^|; )variosync_theme=(light|dark)/) || [])[1] || 'system';

  function applyTheme() {
    const wanted = choice();
    const theme = wanted === 'system' ? (dark.matches ? 'dark' : 'light') : wanted;
    const changed = root.dataset.theme !== theme;
    root.dataset.theme = theme;
    window.Quasar?.Dark.set(theme === 'dark');
    markThemes();
    if (changed) dispatchEvent(new CustomEvent('variosync:theme', { detail: theme }));
  }
  function markThemes() {
    document.querySelectorAll('[data-theme-set]').forEach((item) => item.setAttribute(item.hasAttribute('aria-pressed') ? 'aria-pressed' : 'aria-checked', item.dataset.themeSet === choice()));
  }
  function setTheme(wanted) {
    const secure = location.protocol === 'https:' ? '; Secure' : '';
    document.cookie = `variosync_theme=${wanted}; Path=/; Max-Age=${wanted === 'system' ? 0 : 31536000}; SameSite=Lax${secure}`;
    applyTheme();
  }
  // The account keeps the choice for its other browsers. Until it does, this tab holds on to it and tries again.
  const UNKEPT = 'variosync_theme_unkept';
  // What this tab remembers; a browser that refuses storage lets it remember nothing.
  const tab = {
    get(name) { try { return sessionStorage.getItem(name); } catch { return null; } },
    set(name, text) { try { sessionStorage.setItem(name, text); } catch { /* as above */ } },
    drop(name) { try { sessionStorage.removeItem(name); } catch { /* as above */ } },
  };
  function keepTheme(theme) {
    tab.set(UNKEPT, theme);
    fetch('/api/v1/settings', { method: 'PATCH', keepalive: true, headers: { 'Content-Type': 'application/json', Accept: 'application/json' }, body: JSON.stringify({ theme }) })
      .then((answer) => { if (answer.status < 500 && tab.get(UNKEPT) === theme) tab.drop(UNKEPT); }, () => { /* the server is away: the next page tries */ });
  }
  applyTheme();
  // A page calls this from its head with what the account says; the cookie only remembers it for pages without one.
  window.variosyncTheme = (wanted) => {
    const unkept = tab.get(UNKEPT);
    if (unkept) keepTheme(unkept);
    else if (wanted !== choice()) setTheme(wanted);
  };
  // A page may be older than the server that is asked for its files, while a new release comes: it is loaded anew, once.
  const ANEW = 'variosync_loaded_anew';
  addEventListener('error', async ({ target }) => {
    const url = (target instanceof HTMLElement && (target.src || target.href)) || '';
    if (!url.startsWith(`${location.origin}/static/`) || Date.now() - Number(tab.get(ANEW)) < 60_000) return;
    const answer = await fetch(url, { method: 'HEAD' }).catch(() => null);  // a browser that is offline keeps its page
    if (answer?.status !== 404) return;
    const now = String(Date.now());
    tab.set(ANEW, now);
    if (tab.get(ANEW) === now) location.reload();  // a tab that remembers nothing would do so for ever
  }, true);
  dark.addEventListener('change', applyTheme);
  addEventListener('DOMContentLoaded', applyTheme);
  Object.assign(window.variosyncTheme, { set: setTheme, keep: keepTheme, kept: () => tab.drop(UNKEPT), mark: markThemes, tab });
})();
