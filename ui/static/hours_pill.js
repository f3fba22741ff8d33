// What is left of the user's hours, live, and the heartbeat that meters this page. The server decides; between its
// answers the pill counts down by itself, and stops counting when no news has come for a while.
const BEAT = 30;
const BELIEVED = 45;
const TOUCHED = 'variosync.touched';
const TOUCHES = ['pointerdown', 'pointermove', 'keydown', 'wheel', 'scroll', 'touchstart'];

// As `hours` and `amount` of ui/components/times.py write them.
const grouped = (number, marks) => String(number).replace(/\B(?=(\d{3})+$)/g, marks[0]);
function short(seconds, marks) {
  if (seconds < 300) return exact(seconds, marks);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  const hours = seconds / 3600;
  return `${hours >= 99.95 ? grouped(Math.round(hours), marks) : hours.toFixed(1).replace('.', marks[1])} h`;
}
function exact(seconds, marks) {
  const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60, rest = seconds % 60;
  const parts = [[hours, 'h'], [minutes, 'min'], [rest, 's']].filter(([number]) => number);
  return parts.map(([number, unit]) => `${grouped(number, marks)} ${unit}`).join(' ') || '0 s';
}
const SAID = {
  running: 'running', idle: 'paused while you are away', paused: 'paused', exhausted: 'used up', off: 'not running',
};

export default {
  props: { balance: Object, metered: Boolean, page: String, url: String, idleAfter: Number, marks: Array, icons: Object },
  data: () => ({ seconds: 0, reserved: 0, state: 'off', known: false, told: 0, now: 0, live: false, away: false, busy: false }),
  template: `
    <div hidden>
      <Teleport to="#hours-place">
        <a class="pill hours" :class="level" href="/billing" :aria-label="name" :title="title" :data-state="shown" :data-seconds="left">
          <svg class="i14" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" v-html="icons[halted ? 'pause' : 'timer']"></svg>
          <span>{{ known ? text : '–' }}</span>
        </a>
      </Teleport>
      <Teleport to="body">
        <section v-if="veiled" class="hours-veil" role="region" aria-label="Paused">
          <div>
            <svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" v-html="icons.pause"></svg>
            <h2>Paused. Your hours are not running.</h2>
            <p class="t2">Jobs that run go on. Resume when you want to see this page again.</p>
            <button ref="resume" type="button" class="b pri" :disabled="busy" @click="resume"><svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" v-html="icons.play"></svg>Resume</button>
          </div>
        </section>
      </Teleport>
    </div>`,
  computed: {
    // Away is known here at once; the server learns it with the next beat.
    shown() { return this.state === 'running' && this.away ? 'idle' : this.state; },
    counting() { return this.known && this.live && this.shown === 'running'; },
    left() {
      const passed = this.counting ? Math.min(BELIEVED, Math.max(0, (this.now - this.told) / 1000)) : 0;
      return Math.max(0, this.seconds - Math.floor(passed));
    },
    text() { return short(this.left, this.marks); },
    halted() { return this.shown === 'paused' || this.shown === 'idle'; },
    level() { return !this.known ? '' : this.left < 300 ? 'stop' : this.left < 1800 ? 'warn' : ''; },
    name() { return this.known ? `Hours left: ${this.text}, ${SAID[this.shown] ?? this.shown}` : 'Hours left'; },
    title() {
      if (!this.known) return 'Hours left';
      const held = this.reserved ? `; ${exact(this.reserved, this.marks)} more is held for jobs` : '';
      return `${exact(this.left, this.marks)} left, ${SAID[this.shown] ?? this.shown}${held}`;
    },
    veiled() { return this.metered && this.known && this.state === 'paused'; },
  },
  watch: {
    balance(value) { if (value) this.take(value, this.metered); },
    veiled(on) {
      const main = document.getElementById('main');
      if (main) main.inert = on;
      if (on) this.$nextTick(() => this.$refs.resume?.focus());
    },
    left: 'tell', shown: 'tell',
  },
  mounted() {
    this.now = performance.now();
    this.touched = 0;
    if (document.visibilityState === 'visible') this.touch();
    if (this.balance) this.take(this.balance, this.metered);
    this.ticker = setInterval(this.tick, 1000);
    this.switcher = document.getElementById('hours-switch');
    this.switcher.addEventListener('click', this.turn);
    this.due = performance.now() + BEAT * 1000;
    if (!this.metered) return;
    for (const name of TOUCHES) addEventListener(name, this.touch, { passive: true, capture: true });
    document.addEventListener('visibilitychange', this.seen);
    addEventListener('pagehide', this.leave);
    // The server has counted the opening of the page; a page from the browser's cache has not been asked for.
    this.shownAgain = (event) => { if (event.persisted) { this.touch(); this.beat({ opening: true }); } };
    addEventListener('pageshow', this.shownAgain);
  },
  unmounted() {
    clearInterval(this.ticker);
    this.switcher.removeEventListener('click', this.turn);
    for (const name of TOUCHES) removeEventListener(name, this.touch, { capture: true });
    document.removeEventListener('visibilitychange', this.seen);
    removeEventListener('pagehide', this.leave);
    removeEventListener('pageshow', this.shownAgain);
  },
  methods: {
    take(balance, live) {
      Object.assign(this, { seconds: balance.seconds, reserved: balance.reserved ?? 0, state: balance.state, known: true, live });
      this.told = this.now = performance.now();
      this.$nextTick(this.tell);
      if (this.metered && balance.state === 'exhausted') this.stop();
    },
    tick() {
      this.now = performance.now();
      this.away = this.idle() >= this.idleAfter;
      const over = this.metered && this.counting && !this.left;
      if (over || this.now >= this.due) this.metered ? this.beat() : this.look();
    },
    // Whatever else on the page shows the balance follows the pill.
    tell() {
      if (!this.known) return;
      const told = { short: this.text, exact: exact(this.left, this.marks) };
      if (told.exact === told.short) told.exact = ''; // it stands beside the other
      document.querySelectorAll('[data-hours]').forEach((place) => { place.textContent = told[place.dataset.hours]; });
      this.switcher.disabled = this.state === 'exhausted';
      this.switcher.title = this.switcher.disabled ? 'Your hours are used up: there is nothing to pause.' : '';
      document.querySelectorAll('[data-hours-switch]').forEach((place) => { place.textContent = this.state === 'paused' ? 'Resume hours' : 'Pause hours'; });
    },
    idle() {
      let elsewhere = 0;
      try { elsewhere = Number(localStorage.getItem(TOUCHED)) || 0; } catch { /* storage is switched off: this tab speaks for itself */ }
      return Math.max(0, (Date.now() - Math.max(this.touched, elsewhere)) / 1000);
    },
    touch() {
      const now = Date.now();
      if (now - this.touched < 1000) return;
      const back = this.away || this.state === 'idle';
      this.touched = now;
      try { localStorage.setItem(TOUCHED, now); } catch { /* as above */ }
      if (back && this.metered && this.known) { this.away = false; this.beat(); }
    },
    // Not when hidden: as a page closes that comes after the parting beat, and would take it back.
    seen() { if (this.metered && document.visibilityState === 'visible') this.beat(); },
    leave() { this.beat({ leaving: true }, true); },
    async beat(said = {}, parting = false) {
      this.due = performance.now() + BEAT * 1000;
      await this.ask('heartbeat', { idle: Math.round(10 * this.idle()) / 10, page: this.page, ...said }, parting);
    },
    // A free page costs nothing itself; it counts only while a page elsewhere is seen to be charged.
    async look() {
      this.due = performance.now() + BEAT * 1000;
      const before = this.seconds;
      const now = await this.ask('');
      if (now) this.live = now.state === 'running' && now.seconds < before;
    },
    async resume() {
      this.busy = true;
      this.touch();
      await this.ask('resume');
      this.busy = false;
    },
    async turn() {
      await (this.state === 'paused' ? this.resume() : this.ask('pause'));
    },
    async ask(what, body, parting = false) {
      const post = { method: 'POST', keepalive: parting, body: JSON.stringify(body ?? {}) };
      try {
        const answer = await fetch(what ? `${this.url}/${what}` : this.url, {
          credentials: 'same-origin', headers: { 'Content-Type': 'application/json', Accept: 'application/json' }, ...(what ? post : {}),
        });
        if (!answer.ok) return null;
        const balance = await answer.json();
        this.take(balance, this.metered);
        return balance;
      } catch { return null; /* the server is away: nothing is counted until it answers again */ }
    },
    stop() {
      if (this.stopped) return;
      this.stopped = true;
      location.assign(`/out-of-hours?next=${encodeURIComponent(location.pathname + location.search)}`);
    },
  },
};
