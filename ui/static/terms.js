// What a word means (`data-says`) is told while the pointer or the focus is on it, and from a press on. Escape, a press
// elsewhere or leaving the word puts it away. What is cut off for want of room is told whole under the pointer.
(() => {
  const box = document.createElement('div');
  Object.assign(box, { className: 'said', popover: 'manual' });
  box.setAttribute('role', 'tooltip');
  let shown = null, pressed = false, timer = 0;
  const wordOf = (event) => event.target.closest?.('[data-says]') ?? null;

  function stand() {
    const at = shown.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = box;
    const below = at.bottom + 6 + height <= innerHeight - 8;
    box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
    box.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - height - 6)}px`;
  }
  function show(word) {
    clearTimeout(timer);
    if (shown === word) return;
    hide();
    shown = word;
    box.textContent = word.dataset.says;
    (word.closest('dialog') ?? document.body).append(box); // all but an open dialog is out of the pointer's reach
    box.showPopover();
    stand();
  }
  function hide() {
    clearTimeout(timer);
    if (shown) box.hidePopover();
    box.remove();
    shown = null;
    pressed = false;
  }
  const soon = (act, after) => { clearTimeout(timer); timer = setTimeout(act, after); };

  addEventListener('pointerover', (event) => {
    if (event.pointerType !== 'mouse') return;
    const word = wordOf(event);
    if (word) soon(() => show(word), 120);
    else if (box.contains(event.target)) clearTimeout(timer); // what is told may be read with the pointer on it
    else if (!shown) clearTimeout(timer);
    else if (!pressed && document.activeElement !== shown) soon(hide, 150);
  });
  addEventListener('focusin', (event) => {
    const word = wordOf(event);
    if (word?.matches(':focus-visible')) show(word);
  });
  addEventListener('focusout', (event) => { if (shown && wordOf(event) === shown) hide(); });
  addEventListener('click', (event) => {
    const word = wordOf(event);
    if (!word) return;
    event.preventDefault(); // in a label it presses nothing else
    if (word === shown && pressed) hide();
    else { show(word); pressed = true; }
  });
  addEventListener('pointerdown', (event) => { if (shown && !wordOf(event) && !box.contains(event.target)) hide(); });
  addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !shown) return;
    event.preventDefault(); // what is around it stays open
    event.stopImmediatePropagation();
    hide();
  }, true);
  const moved = () => {
    if (!shown) return;
    const { top, bottom } = shown.getBoundingClientRect();
    if (bottom > 0 && top < innerHeight) stand();
    else hide();
  };
  addEventListener('scroll', moved, true);
  addEventListener('resize', moved);
  addEventListener('pointermove', () => { if (shown && !shown.isConnected) hide(); });

  addEventListener('mouseover', ({ target }) => {
    if (!(target instanceof HTMLElement) || target.childElementCount || (target.title && !target.dataset.whole)) return;
    const cut = target.scrollWidth > target.clientWidth && getComputedStyle(target).textOverflow === 'ellipsis';
    if (cut) target.title = target.dataset.whole = target.textContent;
  });
})();
