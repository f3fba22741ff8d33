// Questions to stored versions by URL, and their answers in binary (core/analysis/query/wire.py). Answers of a version
// never change, so the last ones are kept here, each is asked once however many panels want it, and what lies beside a
// window is fetched while nothing else is to do.

const MOST = 32 * 2 ** 20;  // bytes of answers that are kept
const kept = new Map();
const asked = new Map();
let size = 0;

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
  if (!asked.has(url)) {
    const going = reached(url, "application/octet-stream").then((answer) => answer.arrayBuffer()).finally(() => asked.delete(url));
    asked.set(url, going);
  }
  const buffer = await asked.get(url);
  abort?.signal.throwIfAborted();
  keep(url, buffer);
  return decode(buffer);
}

async function reached(url, accept) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", headers: { Accept: accept } });
  } catch {
    throw new Error("The server does not answer.");
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(body.detail ?? body.message ?? `The server answered ${answer.status}.`), { status: answer.status });
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

const forecasts = new Map();
// What a forecast says of a series (its first one if none is named).
export function forecast(id, series) {
  const url = `/api/v1/forecasts/${id}/chart?${new URLSearchParams(series ? { series } : {})}`;
  if (!forecasts.has(url)) forecasts.set(url, reached(url, "application/json").then((answer) => answer.json()).catch((error) => {
    forecasts.delete(url);
    throw error;
  }));
  return forecasts.get(url);
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
