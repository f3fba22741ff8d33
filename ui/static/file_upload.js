// Resumable uploads by tus-js-client. Files are listed with amount, rate and time left; a page reload or a restart of
// the server loses nothing that the server has acknowledged: dropping the same file again goes on where it stopped.
// Where files go straight to a storage, the server announces them, says where to send, and is asked to look at the end.
const CHUNK = 8 * 1024 * 1024;
const SENDING = 6; // files at a time: the server lets few uploads of a user wait for bytes
const RETRIES = [0, 500, 1000, 2000, 4000, 8000, 15000, 30000];
let library;

function load(url) {
  library ??= new Promise((done, failed) => {
    const script = document.createElement('script');
    script.src = url;
    script.onload = () => done(window.tus);
    script.onerror = () => { library = undefined; failed(new Error('The upload library could not be loaded. Reload the page.')); };
    document.head.appendChild(script);
  });
  return library;
}

const units = ['B', 'KB', 'MB', 'GB', 'TB'];
function size(bytes) {
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
function left(seconds) {
  if (!Number.isFinite(seconds)) return '';
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')} left`;
}

// Whether trying again may help: after an answer that refuses the file itself it does not, after signing in
// again or getting hours it does.
const status = (error) => error.originalResponse?.getStatus() ?? 0;
const passing = (code) => code === 0 || code >= 500 || [409, 423, 429].includes(code);
const refused = (code) => !passing(code) && code >= 400 && ![401, 402].includes(code);
const expired = (code) => [400, 401, 403].includes(code); // what a storage says of headers that hold no longer
const REFUSED = 'variosync.refused';
const TEXT = /\.(csv|tsv|txt|dat)$/i; // whose beginning tells the columns
const HEAD = 16384; // bytes of it
const ANSWER = 600000; // ms after which a server that says nothing does not answer: to take a large file over takes minutes
const PATIENCE = 10000; // ms that the server may take to say where such a file fits: sent unasked, it would be a dataset of its own

// What the server says of an error is problem+json with a sentence for people.
function reason(error) {
  const response = error.originalResponse;
  if (response) {
    const plain = response.getStatus() === 402 ? 'Your hours do not cover its conversion.' : `The server answered ${response.getStatus()}.`;
    try { return JSON.parse(response.getBody()).detail ?? plain; } catch { return plain; }
  }
  return 'The server does not answer. What has arrived is kept: continue when it is back.';
}

// Ask our server something about an upload; an error looks as those of tus-js-client do.
async function ask(method, url, headers = {}) {
  const answer = await fetch(url, { method, headers: { 'Tus-Resumable': '1.0.0', ...headers }, signal: AbortSignal.timeout(ANSWER) });
  if (answer.ok) return answer;
  const body = await answer.text();
  throw Object.assign(new Error('refused'), { originalResponse: { getStatus: () => answer.status, getBody: () => body } });
}

// Ask again while that may help and the upload is neither paused nor discarded.
async function patiently(item, question) {
  for (const delay of RETRIES) {
    try { return await question(); } catch (error) { if (!passing(status(error)) || item.state !== 'sending') throw error; }
    await new Promise((done) => setTimeout(done, delay));
  }
  return question();
}

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const raw = (thing) => (Vue.markRaw ? Vue.markRaw(thing) : thing);

export default {
  props: { tus: String, endpoint: String, accept: String, dataset: String, how: String, choices: Object, waiting: Array, icons: Object, quiet: Boolean, direct: Boolean, asks: Boolean },
  data: () => ({ items: [], over: false, broken: [] }),
  template: `
    <div class="uploads" :data-state="state">
      <input ref="files" type="file" multiple hidden :accept="accept" aria-label="Files to upload" @change="chosen">
      <div v-if="over" class="drop-veil" aria-hidden="true"><div class="drop-box"><svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" v-html="icons.upload"></svg><span>Drop to upload</span></div></div>
      <section v-if="items.length || broken.length" class="card" aria-label="Uploads">
        <header><h2>Uploads</h2></header>
        <div v-if="done.length" class="job" data-upload="done">
          <div class="l">
            <svg class="i green" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" v-html="icons['circle-check']"></svg>
            <span class="w5 cut grow">{{ arrived }}</span>
            <a v-if="!same" class="b small" :href="target">Open</a>
          </div>
        </div>
        <div v-for="item in unfinished" :key="item.key" class="job" :data-upload="item.state">
          <div class="l">
            <svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" v-html="icons[wrong(item) ? 'circle-alert' : 'file-up']"></svg>
            <span class="w5 cut grow">{{ item.name }}</span><span class="t12 t2">{{ percent(item) }}</span>
            <button v-if="item.state === 'sending'" type="button" class="ib small" :aria-label="'Pause ' + item.name" title="Pause" @click="pause(item)"><svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" v-html="icons.pause"></svg></button>
            <button v-if="item.state === 'paused' || item.state === 'failed'" type="button" class="ib small" :aria-label="'Continue ' + item.name" title="Continue" @click="resume(item)"><svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" v-html="icons.play"></svg></button>
            <button type="button" class="ib small" :aria-label="'Discard ' + item.name" title="Discard" @click="discard(item)"><svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" v-html="icons.x"></svg></button>
          </div>
          <div v-if="item.state === 'asking'" class="hs wrap where" role="group" :aria-label="'Where ' + item.name + ' goes'">
            <span class="t2 grow">{{ item.places.length === 1 ? item.places[0].name + ' has the same columns.' : 'Several datasets have the same columns.' }} Added there, rows of this file win where series and time are the same.</span>
            <button type="button" class="b small" @click="answer(item)">New dataset</button>
            <button v-for="place in item.places" :key="place.id" type="button" class="b small" @click="answer(item, place)">Add to {{ place.name }}</button>
          </div>
          <div v-if="item.state !== 'refused' && item.state !== 'asking'" class="bar" role="progressbar" :aria-label="item.name" :aria-valuenow="Math.round(100 * item.sent / item.size)"><i :style="{ width: (100 * item.sent / item.size) + '%' }"></i></div>
          <div v-if="item.state !== 'asking'" class="l t12 t3"><span class="grow" :class="wrong(item) ? 'red' : 'cut'">{{ line(item) }}</span><a v-if="item.short" class="link" href="/billing">See Billing</a><span v-if="item.price && !wrong(item)" title="What its conversion may take of your hours">up to {{ item.price }}</span><span>{{ item.state === 'sending' ? left((item.size - item.sent) / item.rate) : '' }}</span></div>
        </div>
        <div v-for="item in broken" :key="item.id" class="job" data-upload="broken">
          <div class="l">
            <svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" v-html="icons['file-up']"></svg>
            <span class="w5 cut grow">{{ item.name }}</span><span v-if="item.received" class="t12 t2">{{ Math.floor(100 * item.received / item.size) }}%</span>
            <button type="button" class="b small" @click="choose">Continue</button>
            <button type="button" class="ib small" :aria-label="'Discard ' + item.name" title="Discard" @click="forget(item)"><svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" v-html="icons.x"></svg></button>
          </div>
          <div class="bar"><i :style="{ width: (100 * item.received / item.size) + '%' }"></i></div>
          <div v-if="item.error" class="l t12 red">{{ item.error }}</div>
          <div v-else class="l t12 t3"><span class="cut grow">{{ item.received ? size(item.received) + ' of ' + size(item.size) + ' kept. ' : '' }}Choose or drop the same file again to go on.</span></div>
        </div>
      </section>
    </div>`,
  computed: {
    done() { return this.items.filter((item) => item.state === 'done'); },
    unfinished() { return this.items.filter((item) => item.state !== 'done'); },
    // A file that its dataset shows already made no version.
    same() { return this.done.length > 0 && this.done.every((item) => item.same); },
    arrived() {
      const what = this.done.length === 1 ? this.done[0].name : `${this.done.length} files`;
      return this.same ? `${what}: nothing has changed, no version was made` : `${what} received`;
    },
    target() {
      const [only] = this.done;
      return this.done.length === 1 && only.dataset ? `/datasets/${only.dataset}${only.twin ? '?same=1' : ''}` : '/datasets';
    },
    state() {
      const states = this.items.map((item) => item.state);
      return ['failed', 'asking', 'sending', 'paused', 'done', 'refused'].find((state) => states.includes(state)) ?? 'idle';
    },
  },
  mounted() {
    this.broken = [...(this.waiting ?? [])];
    this.items = JSON.parse(sessionStorage.getItem(REFUSED) ?? '[]').map((item) => ({ ...item, told: true }));
    sessionStorage.removeItem(REFUSED);
    this.depth = 0;
    this.listeners = {
      dragenter: (event) => { if (this.carriesFiles(event)) { event.preventDefault(); this.depth += 1; this.over = true; } },
      dragover: (event) => { if (this.carriesFiles(event)) event.preventDefault(); },
      dragleave: () => { this.depth = Math.max(0, this.depth - 1); this.over = this.depth > 0; },
      drop: (event) => {
        if (!this.carriesFiles(event)) return;
        event.preventDefault(); this.depth = 0; this.over = false; this.send([...event.dataTransfer.files]);
      },
      beforeunload: (event) => { if (this.state === 'sending') event.preventDefault(); },
    };
    for (const [name, listener] of Object.entries(this.listeners)) window.addEventListener(name, listener);
  },
  unmounted() {
    for (const [name, listener] of Object.entries(this.listeners)) window.removeEventListener(name, listener);
  },
  methods: {
    size, left,
    priced(key, price) { const item = this.items.find((other) => other.key === key); if (item) item.price = price; },
    carriesFiles: (event) => [...(event.dataTransfer?.types ?? [])].includes('Files'),
    choose() { this.$refs.files.click(); },
    chosen(event) { this.send([...event.target.files]); event.target.value = ''; },
    wrong: (item) => item.state === 'failed' || item.state === 'refused',
    percent: (item) => (item.state === 'refused' || item.state === 'asking' ? '' : `${Math.floor(100 * item.sent / item.size)}%`),
    line(item) {
      if (this.wrong(item)) return item.error;
      const amount = `${size(item.sent)} of ${size(item.size)}`;
      if (item.state === 'paused') return `${amount}, paused`;
      if (item.taken) return `${size(item.size)} sent, being checked`;
      return item.rate ? `${amount}, ${size(item.rate)}/s` : amount;
    },
    async send(files) {
      let tus;
      try { tus = await load(this.tus); } catch (error) { this.items.push({ key: `${Date.now()}`, name: 'Upload', size: 1, sent: 0, state: 'refused', error: error.message }); return; }
      this.queued = (this.queued ?? 0) + 1;
      for (const file of files) await this.begin(tus, file);
      this.queued -= 1;
      this.settle();
    },
    async begin(tus, file) {
      this.items.push({ key: `${file.name}-${file.size}-${Date.now()}-${this.items.length}`, name: file.name, size: file.size || 1, sent: 0, rate: 0, state: 'sending', error: '', dataset: '', same: false, price: '', short: false, into: '', places: [] });
      const item = this.items[this.items.length - 1];
      item.file = raw(file);
      this.$emit('price', { key: item.key, size: file.size, name: file.name });
      this.broken = this.broken.filter((other) => !(other.name === file.name && other.size === file.size));
      item.print = this.fingerprint(item, file);
      item.start = raw(this.direct ? () => this.sendDirect(tus, item, file) : () => this.sendToUs(tus, item, file));
      item.places = await this.placesFor(item, file);
      if (!this.items.includes(item)) return; // discarded meanwhile
      if (item.places.length) { item.state = 'asking'; return; }
      await this.turn();
      if (this.items.includes(item) && item.state === 'sending') await this.go(item);
    },
    // Which datasets have the columns of a file of text: the server compares its first lines with theirs.
    async placesFor(item, file) {
      if (!this.asks || this.dataset || !TEXT.test(file.name)) return [];
      const text = await file.slice(0, HEAD).text().catch(() => '');
      return new Promise((done) => {
        item.fitting = raw(done);
        setTimeout(() => done([]), PATIENCE);
        this.$emit('head', { key: item.key, text });
      });
    },
    fitting(key, places) { this.items.find((other) => other.key === key)?.fitting?.(places); },
    async answer(item, place) {
      Object.assign(item, { into: place?.id ?? '', state: 'sending', places: [] });
      item.print = this.fingerprint(item, item.file);
      await this.go(item);
    },
    async go(item) { item.going = true; await item.start(); },
    // Of many files the next begins when one has ended.
    async turn() {
      while (this.items.filter((item) => item.going && item.state === 'sending').length >= SENDING) {
        await new Promise((next) => { setTimeout(next, 50); });
      }
    },
    // What both ways have in common, for tus-js-client.
    options(item) {
      const clock = { at: performance.now(), sent: 0, first: true };
      return {
        retryDelays: RETRIES, removeFingerprintOnSuccess: true,
        onShouldRetry: (error) => passing(status(error)),
        onProgress: (sent) => {
          const now = performance.now();
          if (clock.first) { Object.assign(clock, { at: now, sent, first: false }); }
          else if (now - clock.at > 400) {
            const rate = (sent - clock.sent) / ((now - clock.at) / 1000);
            item.rate = item.rate ? 0.6 * item.rate + 0.4 * rate : rate;
            Object.assign(clock, { at: now, sent });
          }
          item.sent = sent;
        },
        onError: (error) => this.failed(item, error),
      };
    },
    // How the file joins its dataset counts as much as the file: an upload that broke off goes on only when both are the same.
    goal(item) { return item.into || this.dataset; },
    asked(item) { return this.goal(item) ? { how: (this.dataset && this.how) || 'append', options: JSON.stringify(this.dataset ? this.choices ?? {} : {}) } : {}; },
    metadata(item, file) { return { filename: file.name, ...(this.goal(item) ? { dataset: this.goal(item) } : {}), ...this.asked(item) }; },
    fingerprint(item, file) { return ['variosync', document.body.dataset.user ?? '', this.goal(item), ...Object.values(this.asked(item)), file.name, file.size, file.lastModified].join('|'); },
    async sendToUs(tus, item, file) {
      const upload = new tus.Upload(file, {
        ...this.options(item), endpoint: this.endpoint, chunkSize: CHUNK, metadata: this.metadata(item, file),
        fingerprint: async () => item.print,
        onAfterResponse: (request, response) => {
          item.dataset = response.getHeader('Variosync-Dataset') ?? item.dataset;
          item.same ||= response.getHeader('Variosync-Unchanged') === 'true';
          item.twin ||= Boolean(response.getHeader('Variosync-Same-Dataset'));
        },
        onSuccess: () => this.received(item),
      });
      await this.start(item, upload);
    },
    async start(item, upload) {
      item.upload = raw(upload);
      item.start = raw(() => upload.start());
      const earlier = await upload.findPreviousUploads();
      if (earlier.length) upload.resumeFromPreviousUpload(earlier[0]);
      if (item.state === 'sending') upload.start();
    },
    // The server keeps the upload's row and says where the bytes go; headers for there are asked for as they expire.
    async sendDirect(tus, item, file) {
      try {
        const place = await patiently(item, () => this.announced(item, file));
        item.place = place;
        if (item.dataset) { this.received(item); return; }
        const ticket = await patiently(item, () => this.ticket(item));
        const upload = new tus.Upload(file, {
          ...this.options(item), endpoint: ticket.url, chunkSize: ticket.chunk, metadata: ticket.metadata,
          fingerprint: async () => `${item.print}|${place}`,
          onBeforeRequest: async (request) => {
            for (const [name, value] of Object.entries((await this.ticket(item)).headers)) request.setHeader(name, value);
          },
          onShouldRetry: (error) => {
            if (expired(status(error))) item.ticket = null;
            return passing(status(error)) || expired(status(error));
          },
          onSuccess: () => { item.start = raw(() => this.finish(item)); item.start(); },
        });
        await this.start(item, upload);
      } catch (error) { this.failed(item, error); }
    },
    // Our address of this file's upload: an earlier one that goes on, or a new one.
    async announced(item, file) {
      const kept = localStorage.getItem(item.print);
      if (kept) {
        try {
          const answer = await ask('HEAD', kept);
          item.dataset = answer.headers.get('Variosync-Dataset') ?? '';
          item.same = answer.headers.get('Variosync-Unchanged') === 'true';
          item.twin = answer.headers.has('Variosync-Same-Dataset');
          return kept;
        } catch (error) { if (!refused(status(error)) && status(error) !== 409) throw error; }
      }
      const told = Object.entries(this.metadata(item, file)).map(([name, value]) => `${name} ${base64(value)}`).join(',');
      const answer = await ask('POST', this.endpoint, { 'Upload-Length': `${file.size}`, 'Upload-Metadata': told });
      localStorage.setItem(item.print, answer.headers.get('Location'));
      return answer.headers.get('Location');
    },
    async ticket(item) {
      if (!item.ticket || Date.now() > item.ticket.until) {
        const ticket = await (await ask('POST', `${item.place}/direct`)).json();
        item.ticket = raw({ ...ticket, until: Date.now() + 900 * ticket.expires_in });
      }
      return item.ticket;
    },
    // All bytes are in the storage: the server looks there and takes them over, which for a large file takes a while.
    async finish(item) {
      Object.assign(item, { sent: item.size, rate: 0, taken: true });
      try {
        const answer = await patiently(item, () => ask('HEAD', item.place));
        item.dataset = answer.headers.get('Variosync-Dataset') ?? '';
        item.same = answer.headers.get('Variosync-Unchanged') === 'true';
        item.twin = answer.headers.has('Variosync-Same-Dataset');
        if (!item.dataset) throw new Error('incomplete');
        localStorage.removeItem(item.print);
        this.received(item);
      } catch (error) { this.failed(item, error); }
    },
    received(item) {
      item.sent = item.size; item.state = 'done';
      this.$emit('uploaded', { name: item.name, dataset: item.dataset });
      this.settle();
    },
    failed(item, error) {
      if (item.state === 'paused') return;
      item.state = refused(status(error)) ? 'refused' : 'failed'; item.error = reason(error); item.short = status(error) === 402; this.settle();
    },
    // Once nothing is on its way any more, move to what arrived; what was refused is told there.
    settle() {
      if (this.queued || !this.done.length || this.unfinished.some((item) => item.state !== 'refused')) return;
      if (this.same && this.dataset) return;
      const told = this.unfinished.filter((item) => !item.told).map(({ key, name, size, error }) => ({ key, name, size, error, sent: 0, state: 'refused' }));
      if (told.length) sessionStorage.setItem(REFUSED, JSON.stringify(told));
      window.location.assign(told.length ? '/datasets' : this.target);
    },
    pause(item) { item.upload?.abort(); item.state = 'paused'; item.rate = 0; },
    resume(item) { Object.assign(item, { state: 'sending', error: '', short: false }); item.start(); },
    async discard(item) {
      item.state = 'paused';
      const ended = item.upload?.abort(true).catch(() => undefined);
      if (item.place) { localStorage.removeItem(item.print); await ask('DELETE', item.place).catch(() => undefined); } else await ended;
      this.items = this.items.filter((other) => other !== item && other.key !== item.key);
      this.settle();
    },
    async forget(item) {
      try { await ask('DELETE', `${this.endpoint}/${item.id}`); } catch (error) {
        if (status(error) !== 404) { this.broken = this.broken.map((other) => (other === item ? { ...item, error: reason(error) } : other)); return; }
      }
      this.broken = this.broken.filter((other) => other.id !== item.id);
    },
  },
};
