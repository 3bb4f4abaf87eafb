// Picture: one half as five bands with time running along them, a column for each step.
//
// Calls are solid arrows, returns dashed, waiting is a bar: hatched while a thread is blocked,
// dotted while a coroutine is suspended. Going to a step moves a few nodes, however many there are.

import { spansAttribute } from "explorer/light";
import { svg } from "explorer/nodes";
import { statusOf } from "explorer/trace";

export const BANDS = ["wire", "server", "seam", "framework", "handler"];
export const HEIGHT = 240;
export const SEAM = 112;
// Where the name of each band stands, in the same scale.
export const MIDDLE = { wire: 23, server: 72, seam: SEAM, framework: 160, handler: 220 };

const EDGES = [46, 200]; // between wire and server, between framework and handler
const WIRE = 23;
const READS = 66; // where the server takes bytes from, and puts them on, the wire
const SERVER_WAITS = 76;
const CALLS = 92; // where the server's side of a call is
const ENTERS = 132; // and the application's
const APP_WAITS = 135;
const ONION = 154; // the outermost layer
const INSIDE = 186;
const HANDLER = 212;
const [NARROWEST, WIDEST] = [13, 34]; // of a column
const BAR = 7;

export class Picture {
  constructor(half, width, goTo) {
    this.half = half;
    const number = Math.max(half.events.length, 1);
    this.column = Math.min(WIDEST, Math.max(NARROWEST, Math.floor(width / number)));
    this.width = Math.max(number * this.column, 1);
    this.groups = half.events.map((event) => this.group(event));
    this.cursor = this.besideTheSeam("cursor", this.column);
    this.veil = this.besideTheSeam("veil", this.width); // what is still to come is paler
    this.label = svg("text", { class: "label" });
    this.node = svg("svg", {
      width: this.width, height: HEIGHT, viewBox: `0 0 ${this.width} ${HEIGHT}`,
      "aria-hidden": "true", "data-half": half.index,
      click: ({ target }) => {
        const index = target.closest("[data-index]")?.dataset.index;
        if (index !== undefined) goTo(Number(index));
      },
    }, this.patterns(), this.cursor, EDGES.map((y) => this.line(0, y, this.width, y, "edge")),
    this.bars(), this.layers(), this.groups, this.veil, this.label);
  }

  // Something of the picture's height that leaves the seam as it is.
  besideTheSeam(name, width) {
    return svg("g", { class: name }, svg("rect", { width, height: SEAM - 2 }),
      svg("rect", { width, y: SEAM + 2, height: HEIGHT - SEAM - 2 }));
  }

  x(index) {
    return (index + 0.5) * this.column;
  }

  // Show the step of this index, or, where another half is stepped through, all or nothing.
  goTo(index, name) {
    const isHere = index >= 0 && index < this.groups.length;
    this.current?.classList.remove("current");
    this.current = isHere ? this.groups[index] : null;
    this.current?.classList.add("current");
    this.cursor.setAttribute("transform", `translate(${isHere ? index * this.column : -this.column})`);
    this.veil.setAttribute("transform", `translate(${Math.min(index + 1, this.groups.length) * this.column})`);
    this.label.textContent = isHere ? name : "";
    if (isHere) this.place(this.x(index));
  }

  // The name stands beside its step, on the side where there is room.
  place(x) {
    const isLeft = x > this.width / 2;
    this.label.setAttribute("x", isLeft ? x - 8 : x + 8);
    this.label.setAttribute("y", SEAM - 8);
    this.label.setAttribute("text-anchor", isLeft ? "end" : "start");
  }

  // --- what is drawn ----------------------------------------------------------------------------

  group(event) {
    const x = this.x(event.index);
    const { spans = [], body = [], keys = null } = this.bytesIn(event);
    const fails = event.phase === "raise" && !isEnd(event);
    return svg("g", {
      "data-index": event.index, "data-spans": spansAttribute(spans), "data-body": spansAttribute(body), "data-keys": keys,
      class: `event ${event.side} ${fails ? "raise" : ""}`,
    }, svg("rect", { class: "touch", x: x - this.column / 2, y: 0, width: this.column, height: HEIGHT }),
    this.strokes(event, x, fails ? "raise" : event.phase === "call" ? "call" : "return"));
  }

  strokes(event, x, stroke) {
    if (event.side === "wire") return this.onTheWire(event, x);
    if (event.base === "handler") {
      return event.phase === "call"
        ? this.arrow(x, INSIDE, HANDLER, stroke) : this.arrow(x, HANDLER, INSIDE, stroke);
    }
    if (event.base === "layer") return this.tick(x, event);
    if (event.side === "framework") return svg("circle", { class: "dot", cx: x, cy: INSIDE, r: 3.5 });
    return event.direction === "in"
      ? this.arrow(x, CALLS, ENTERS, stroke) : this.arrow(x, ENTERS, CALLS, stroke);
  }

  onTheWire(event, x) {
    if (event.kind === "bytes") {
      return event.direction === "in"
        ? this.arrow(x, WIRE - 10, READS, "bytes") : this.arrow(x, READS, WIRE - 10, "bytes");
    }
    if (event.kind === "connect") return svg("circle", { class: "ring", cx: x, cy: WIRE, r: 5 });
    const d = event.kind === "eof"
      ? `M ${x - 5} ${WIRE - 6} v 12 M ${x - 5} ${WIRE} h 10`
      : `M ${x - 5} ${WIRE - 5} l 10 10 m 0 -10 l -10 10`;
    return svg("path", { class: "mark", d });
  }

  arrow(x, from, to, stroke) {
    const back = to > from ? -6 : 6;
    const head = stroke === "raise"
      ? `M ${x - 4} ${to - 4} l 8 8 m 0 -8 l -8 8`
      : `M ${x - 3.5} ${to + back} L ${x} ${to} L ${x + 3.5} ${to + back}`;
    return [this.line(x, from, x, to, stroke), svg("path", { class: "head", d: head })];
  }

  line(x1, y1, x2, y2, stroke) {
    return svg("line", { class: stroke, x1, y1, x2, y2 });
  }

  // A layer is a ring of an onion: a line as long as the request is inside of it.
  layers() {
    const drawn = [];
    let depth = 0;
    for (const event of this.half.events) {
      if (event.base !== "layer") continue;
      if (event.phase !== "call") depth = Math.max(0, depth - 1);
      const y = ONION + Math.min(depth, 7) * 4;
      if (event.phase === "call") {
        depth += 1;
        const end = event.partner ?? this.half.events.length - 1;
        drawn.push(this.line(this.x(event.index), y, this.x(end), y, "ring"));
      }
    }
    return drawn;
  }

  tick(x, event) {
    const way = event.phase === "call" ? 3.5 : -3.5;
    return svg("path", { class: "head", d: `M ${x - way} ${INSIDE - 4} L ${x + way} ${INSIDE} L ${x - way} ${INSIDE + 4}` });
  }

  // Who waits, from each call to its end: who called.
  bars() {
    const { isWsgi } = this.half;
    const waiting = isWsgi ? "hatch" : "dots"; // a thread is held, or a coroutine is suspended
    const lanes = [-1, -1];
    return this.half.events.filter((event) => event.phase === "call").flatMap((event) => {
      const end = event.partner ?? this.half.events.length - 1;
      if (end <= event.index) return [];
      if (event.base === "handler") {
        return [this.bar(event, end, INSIDE + 5, waiting), this.bar(event, end, HANDLER + 2, "runs")];
      }
      // What is written to wsgi.errors is not waited for: its end is not told.
      if (event.side !== "seam" || event.base === "wsgi.errors") return [];
      if (event.direction === "in") return [this.bar(event, end, SERVER_WAITS, waiting)];
      const free = lanes.findIndex((until) => until < event.index);
      const lane = free === -1 ? lanes.length - 1 : free;
      lanes[lane] = end;
      return [this.bar(event, end, APP_WAITS + lane * (BAR + 2), waiting)];
    });
  }

  bar(event, end, y, kind) {
    const [from, to] = [this.x(event.index), this.x(end)];
    if (kind === "dots") return this.line(from + 3, y + BAR / 2, to, y + BAR / 2, "bar dots");
    const fill = kind === "runs" ? null : `url(#${kind}${this.half.index})`;
    return svg("rect", { class: `bar ${kind}`, x: from, y, width: to - from, height: BAR, fill });
  }

  patterns() {
    return svg("defs", {}, svg("pattern", {
      id: `hatch${this.half.index}`, width: 5, height: 5, patternUnits: "userSpaceOnUse",
    }, svg("path", { class: "hatching", d: "M -1 6 L 6 -1 M -1 1 L 1 -1 M 4 6 L 6 4" })));
  }

  // --- which bytes an event carries -------------------------------------------------------------

  bytesIn(event) {
    const { half } = this;
    if (event.kind === "bytes") {
      const { offset, bytes } = event.data;
      if (event.direction === "in") return { spans: [[offset, offset + bytes.size]] };
      return { body: half.wire.out.inBody(offset, offset + bytes.size), keys: this.keysIn(offset, offset + bytes.size) };
    }
    if (event.kind === "app.call") return { spans: half.spansOf("environ", "scope", "headers") };
    if (event.kind === "request") return { spans: half.spansOf("request") };
    if (event.kind === "handler.call") {
      const names = Object.keys(event.data.arguments ?? {});
      return { spans: names.flatMap((name) => half.originOf("request", `path_params.${name}`)?.spans ?? []) };
    }
    if (event.read !== undefined) return { spans: half.originOf(event.base, event.read)?.spans };
    if (event.kind === "body") return { spans: half.spansOf("wsgi.input", "receive") };
    if (statusOf(event) !== null) return { keys: `status ${statusOf(event).split(" ")[0]}` };
    if (event.kind === "response") return { keys: `status ${event.data.status}`, body: [[0, Infinity]] };
    return half.chunkAt.get(event) ?? {};
  }

  // What else of the answer stands in a range of the wire: a status, messages of a WebSocket.
  keysIn(start, end) {
    const { wire: { out }, messages } = this.half;
    const parts = out.parts.filter((each) => each.name === "status" && each.start >= start && each.end <= end);
    const keys = parts.map((part) => `status ${out.text(part.start, part.end)}`);
    messages.out.forEach(({ spans }, index) => {
      if (spans.some(([from, to]) => from < end && start < to)) keys.push(`message ${index}`);
    });
    return keys.join("\n") || null;
  }
}

// StopIteration is how an iterator ends, and cancellation how a wait does.
const isEnd = (event) => /(^|\.)(StopIteration|CancelledError)$/.test(event.data.type?.$type ?? event.data.type ?? "");
