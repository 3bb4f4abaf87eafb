// Light: pointing at some bytes lights up the same bytes in every band, of both halves.
//
// What can be lit says in `data-spans` which bytes of the request it is made of, as offsets on the
// wire; in `data-body` which of the answer's body, as offsets in that; and in `data-keys` what else
// of the answer it is: "status 200", "field server".

const POINTED = "[data-spans], [data-body], [data-keys]";

export const spansAttribute = (spans) =>
  spans.filter(([start, end]) => start < end).map((span) => span.join("-")).join(" ") || null;

export class Light {
  constructor(root, halves) {
    this.root = root;
    this.halves = halves;
    this.lit = [];
    this.nodes = null;
    for (const begin of ["pointerover", "focusin"]) {
      root.addEventListener(begin, ({ target }) => this.point(target.closest(POINTED)));
    }
    for (const end of ["pointerleave", "focusout"]) root.addEventListener(end, () => this.point(null));
  }

  point(node) {
    for (const each of this.lit) each.classList.remove("lit");
    this.lit = [];
    const half = node && Number(node.closest("[data-half]")?.dataset.half);
    if (node === null || Number.isNaN(half)) return;
    const { spans, body, keys } = this.read(node);
    const isSameBody = this.halves.map((each) => each.body === this.halves[half].body);
    const moved = this.halves.map((each) => this.moved(half, each.index, spans));
    this.lit = this.all().filter((each) => each.keys.some((key) => keys.includes(key))
      || overlap(each.spans, moved[each.half])
      || (isSameBody[each.half] && overlap(each.body, body))).map((each) => each.node);
    for (const each of this.lit) each.classList.add("lit");
  }

  // What can be lit has been drawn anew.
  forget() {
    this.nodes = null;
    this.lit = [];
  }

  // The same bytes, in the offsets of another half.
  moved(from, to, spans) {
    if (from === to) return spans;
    return this.halves[from].wire.in.spansIn(this.halves[to].wire.in, spans);
  }

  // What can be lit; looked for once, when it is first needed.
  all() {
    this.nodes ??= [...this.root.querySelectorAll(POINTED)].map((node) => ({
      node,
      half: Number(node.closest("[data-half]").dataset.half),
      ...this.read(node),
    }));
    return this.nodes;
  }

  read({ dataset: { spans = "", body = "", keys = "" } }) {
    return { spans: spansIn(spans), body: spansIn(body), keys: keys.split("\n").filter(Boolean) };
  }
}

const spansIn = (text) => text.split(" ").filter(Boolean).map((span) => span.split("-").map(Number));

const overlap = (some, others) =>
  some.some(([start, end]) => others.some(([from, to]) => start < to && from < end));
