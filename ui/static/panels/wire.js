// Questions to stored versions by URL, and their answers in binary (core/analysis/query/wire.py). Answers of a version
// never change, so the last ones are kept here, each is asked once however many panels want it, and what lies beside a
// window is fetched while nothing else is to do.

const MOST = 32 * 2 ** 20;  // bytes of answers that are kept
const PATIENCE = 60_000;  // ms
const BINARY = "application/octet-stream";
const QUERY = /^\/api\/v1\/datasets\/([^/]+)\/versions\/(\d+)\/query/;
const TOGETHER = 12;
const LONGEST = 6000;  // of an address, beyond which servers on the way may refuse it
const HEAD = 12;  // bytes before an answer that came with others
const kept = new Map();
const asked = new Map();  // by address: the answer on its way, who waits for it, and how to let go of it
const due = [];
let size = 0, sending = null;

export const address = (dataset, version, request) => `/api/v1/datasets/${dataset}/versions/${version}/query?${new URLSearchParams(request)}`;
export const fileAddress = (dataset, version, request, format) => address(dataset, version, [...request, ["format", format]]);

export async function query(dataset, version, request, abort) {
  const url = address(dataset, version, request);
  const known = kept.get(url);
  if (known) {
    kept.delete(url);
    kept.set(url, known);
    return decode(known);
  }
  const going = asked.get(url) ?? begun(url), leave = () => going.leave();
  going.readers += 1;
  abort?.signal.addEventListener("abort", leave, { once: true });
  const buffer = await going.answer.finally(() => abort?.signal.removeEventListener("abort", leave));
  abort?.signal.throwIfAborted();
  keep(url, buffer);
  return decode(buffer);
}

// Once nobody waits any more, the server is told so by the connection's end, and works on what is looked at.
function begun(url) {
  const control = new AbortController();
  const going = { readers: 0, leave: () => {
    going.readers -= 1;
    if (going.readers) return;
    forget();
    control.abort();
  } };
  const forget = () => { if (asked.get(url) === going) asked.delete(url); };
  going.answer = new Promise((resolve, reject) => { due.push({ url, signal: control.signal, resolve, reject }); }).finally(forget);
  asked.set(url, going);
  if (due.length === 1) sending = Promise.resolve().then(send);
  return going;
}

// Ends when the questions of this moment are on their way.
export async function underway() {
  await null;
  await sending;
}

// Questions of one moment go in one request: what each costs beside its answer is paid once.
function send() {
  let several = [], length = 0;
  const go = () => {
    if (several.length === 1) alone(several[0]);
    else if (several.length) together(several);
    [several, length] = [[], 0];
  };
  for (const one of due.splice(0)) {
    if (one.signal.aborted) {
      one.reject(one.signal.reason);
      continue;
    }
    one.text = encodeURIComponent(one.url.replace(QUERY, "$1/$2"));
    if (several.length === TOGETHER || length + one.text.length > LONGEST) go();
    several.push(one);
    length += one.text.length;
  }
  go();
}

const alone = ({ url, signal, resolve, reject }) => reached(url, BINARY, (answer) => answer.arrayBuffer(), signal).then(resolve, reject);

async function together(several) {
  const control = new AbortController(), open = new Set(several);
  for (const one of several) one.signal.addEventListener("abort", () => {
    if (!open.delete(one)) return;
    one.reject(one.signal.reason);
    if (!open.size) control.abort();
  }, { once: true });
  const each = (at, status, bytes) => {
    const one = several[at];
    if (!open.delete(one)) return;
    if (status === 200) one.resolve(bytes.buffer);
    else one.reject(refused(status, JSON.parse(new TextDecoder().decode(bytes))));
  };
  let error = new Error("The server does not answer.");
  await reached(`/api/v1/queries?${several.map(({ text }) => `q=${text}`).join("&")}`, BINARY, (answer) => framed(answer.body, each), control.signal).catch((why) => { error = why; });
  for (const { reject } of open) reject(error);
}

// What a page draws first is seen panel by panel; when it moves, all of them move in one frame.
let first = true;
const shown = () => new Promise((resolve) => {
  requestAnimationFrame(() => setTimeout(resolve));
  setTimeout(resolve, 50);  // nothing is painted where nobody looks
});

// Read frames as they come (ui/api/queries.py).
async function framed(stream, each) {
  const reader = stream.getReader(), chunks = [];
  let held = 0, head = null;
  const take = (size) => {
    const taken = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const [chunk] = chunks, part = chunk.subarray(0, size - at);
      taken.set(part, at);
      at += part.length;
      if (part.length === chunk.length) chunks.shift();
      else chunks[0] = chunk.subarray(part.length);
    }
    held -= size;
    return taken;
  };
  const fresh = first;
  first = false;
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    chunks.push(value);
    held += value.length;
    while (held >= (head ? head[2] : HEAD)) {
      if (head) {
        each(head[0], head[1], take(head[2]));
        if (fresh) await shown();
      }
      head = head ? null : new Uint32Array(take(HEAD).buffer);
    }
  }
}

// Answers that say nothing of what was asked: whoever asks again later may be answered otherwise.
export const PASSING = [401, 403, 408, 429];
const refused = (status, body) => Object.assign(new Error(body.detail ?? body.message ?? `The server answered ${status}.`), { status });

async function reached(url, accept, read, signal) {
  let answer, found;
  try {
    answer = await fetch(url, { credentials: "same-origin", headers: { Accept: accept }, signal: AbortSignal.any([AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])]) });
    if (answer.ok) found = await read(answer);
  } catch {
    signal?.throwIfAborted();
    throw new Error("The server does not answer.");
  }
  if (answer.ok) return found;
  throw refused(answer.status, await answer.json().catch(() => ({})));
}

function keep(url, buffer) {
  if (!kept.has(url)) size += buffer.byteLength;
  kept.set(url, buffer);
  for (const [first, old] of kept) {
    if (size <= MOST) break;
    kept.delete(first);
    size -= old.byteLength;
  }
}

const FRESH = 60_000;  // ms: what came meanwhile is scored with the next question after them
const FORECASTS = 20;
const forecasts = new Map();
// What a forecast says of a series (its first one if none is named).
export function forecast(id, series) {
  const url = `/api/v1/forecasts/${id}/chart?${new URLSearchParams(series ? { series } : {})}`, now = performance.now(), known = forecasts.get(url);
  if (known && now - known.at < FRESH) return known.answer;
  forecasts.delete(url);
  if (forecasts.size >= FORECASTS) forecasts.delete(forecasts.keys().next().value);
  const made = { at: now, answer: reached(url, "application/json", (answer) => answer.json()) };
  forecasts.set(url, made);
  made.answer.catch(() => { if (forecasts.get(url) === made) forecasts.delete(url); });
  return made.answer;
}

// The windows to the left and to the right, so that a step aside is drawn at once.
export function prefetch(dataset, version, request, answer) {
  const from = request.find(([name]) => name === "from"), to = request.find(([name]) => name === "to");
  if (!from || !to || !answer.span) return;
  const [a, b] = [Number(from[1]), Number(to[1])], step = (b - a) * 0.2;
  const later = window.requestIdleCallback ?? setTimeout;
  later(() => {
    for (const by of [step, -step]) {
      if (by > 0 ? b > answer.span[1] : a < answer.span[0]) continue;
      const beside = request.map(([name, value]) => name === "from" || name === "to" ? [name, String(Math.round(Number(value) + by))] : [name, value]);
      query(dataset, version, beside).catch(() => {});  // asked for again, and told of, when it is looked at
    }
  });
}

export function decode(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x56535131) throw new Error("The answer holds no points.");
  const length = view.getUint32(4, true), header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  let offset = 8 + length;
  for (const line of header.lines) {
    const columns = {};
    for (const [name, points] of line.columns) {
      columns[name] = new Float64Array(buffer, offset, points);
      offset += 8 * points;
    }
    line.columns = columns;
  }
  header.empty = !header.lines.some((line) => line.n > 0);
  return header;
}
