"""Questions of one moment go in one request."""

from tests.ui.panels.given import Told

# Three questions that go together, to a server whose answers are `frames`, cut into pieces of `size` bytes.
TOGETHER = """
    const bytes = (...numbers) => [...new Uint8Array(new Uint32Array(numbers).buffer)];
    const frame = (at, status, body) => [...bytes(at, status, body.length), ...body];
    const header = new TextEncoder().encode(JSON.stringify({ kind: "line", lines: [] }).padEnd(40));
    const answer = [0x56, 0x53, 0x51, 0x31, ...bytes(header.length), ...header];
    const asked = [], gone = [];
    let stream;
    const more = (all, size = 1e9) => {
      for (let i = 0; i < all.length; i += size) stream.enqueue(new Uint8Array(all.slice(i, i + size)));
    };
    globalThis.requestAnimationFrame = (act) => setTimeout(act);
    globalThis.fetch = (url, { signal }) => {
      asked.push(url);
      const body = new ReadableStream({ start(one) { stream = one; } });
      signal.addEventListener("abort", () => {
        gone.push(url);
        stream.error(signal.reason);
      });
      return Promise.resolve(new Response(body, { status: 200 }));
    };
    const turn = () => new Promise((resolve) => setTimeout(resolve));
    const why = (error) => error.name === "AbortError" ? "let go" : `${error.status}: ${error.message}`;
    const controls = [0, 1, 2].map(() => new AbortController());
    const found = controls.map((control, at) =>
      wire.query("d", 1, [["width", `${at}`]], control).then((one) => one.kind, why));
    await turn();
"""


def test_questions_of_one_moment_go_together_and_each_has_its_answer(told: Told) -> None:
    """Answers come in any order and in pieces of any size; one that cannot be given leaves the others."""
    found = told(
        TOGETHER
        + """
        const no = [...new TextEncoder().encode(JSON.stringify({ detail: "Choose another one." }))];
        more([...frame(2, 200, answer), ...frame(0, 400, no), ...frame(1, 200, answer)], 7);
        stream.close();
        return { asked, found: await Promise.all(found), gone };
        """
    )
    assert found['found'] == ['400: Choose another one.', 'line', 'line']
    (url,) = found['asked']
    assert url.startswith('/api/v1/queries?q=d%2F1%3Fwidth%3D0&q=')
    assert found['gone'] == []


def test_who_leaves_first_takes_no_neighbour_along(told: Told) -> None:
    """An answer that comes for somebody who has gone is not counted twice."""
    found = told(
        TOGETHER
        + """
        controls[0].abort();
        await turn();
        more(frame(0, 200, answer));
        await turn();
        controls[1].abort();
        await turn();
        const open = gone.length;
        more(frame(2, 200, answer));
        return { open, found: await Promise.all(found) };
        """
    )
    assert found == {'open': 0, 'found': ['let go', 'let go', 'line']}


def test_when_all_have_left_the_request_ends(told: Told) -> None:
    found = told(
        TOGETHER + 'for (const control of controls) control.abort(); return { found: await Promise.all(found), gone };'
    )
    assert found['found'] == ['let go'] * 3
    assert len(found['gone']) == 1


def test_what_ends_early_is_said_to_those_who_wait(told: Told) -> None:
    found = told(
        TOGETHER
        + 'more(frame(1, 200, answer)); more(frame(0, 200, answer).slice(0, 9)); stream.close();'
        + 'return Promise.all(found);'
    )
    assert found == ['undefined: The server does not answer.', 'line', 'undefined: The server does not answer.']


def test_who_has_left_before_it_is_sent_asks_nothing(told: Told) -> None:
    assert told(
        """
        const asked = [];
        globalThis.fetch = (url) => { asked.push(url); return new Promise(() => {}); };
        const control = new AbortController();
        const left = wire.query("d", 1, [["width", "1"]], control).catch((error) => error.name);
        wire.query("d", 1, [["width", "2"]]);
        control.abort();
        const name = await left;
        return { name, asked };
        """
    ) == {'name': 'AbortError', 'asked': ['/api/v1/datasets/d/versions/1/query?width=2']}
