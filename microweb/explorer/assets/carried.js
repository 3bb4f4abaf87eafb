// Carried: what each band holds of the request and of the answer, in both halves, to be followed.
//
// The bytes on the wire are cut at every edge that anything made of them has, so that each value
// can say which of them it is; a value that its bytes spell is cut the same way.

import { spansAttribute } from "explorer/light";
import { el } from "explorer/nodes";
import { callOf, placeOf } from "explorer/sentences";
import { bytes, either, howTold, say } from "explorer/texts";
import { escaped, nameAtSeam, pairsOf, plain, written } from "explorer/trace";

const MOST = 6; // chunks, reads or messages of one kind
const MOST_BYTES = 3000; // of a message on the wire
const MOST_TEXT = 1000; // characters of a value

export function carried(halves) {
  return el("section", { class: "carried", "aria-labelledby": "carried" },
    el("h2", { id: "carried" }, say("carried")),
    el("p", { class: "note" }, say("carried.note")),
    ["wire", "server", "seam", "framework", "handler"].map((band) => el("div", { class: `band ${band}` },
      el("h3", {}, say(band)),
      el("div", { class: "pair" }, halves.map((half) => el("div", { class: "cell", "data-half": half.index },
        el("p", { class: "who" }, escaped(`${half.name} · ${half.run.server}`)),
        new Cell(half)[band]()))))));
}

class Cell {
  constructor(half) {
    this.half = half;
    this.claimed = half.origins.flatMap((origin) => this.named(origin.spans));
    const edges = [...this.claimed.flat(), ...half.wire.in.parts.flatMap((part) => [part.start, part.end])];
    this.edges = [...new Set(edges)].sort((one, other) => one - other);
  }

  // In an environ the name of a field has become a key, so that with the value the name is meant.
  named(spans) {
    if (!this.half.isWsgi) return spans;
    const { parts } = this.half.wire.in;
    return spans.flatMap(([start, end]) => {
      const index = parts.findIndex((part) => part.name === "field.value" && part.start === start && part.end === end);
      return index > 0 ? [[parts[index - 1].start, parts[index - 1].end], [start, end]] : [[start, end]];
    });
  }

  // --- the wire ---------------------------------------------------------------------------------

  wire() {
    const { wire } = this.half;
    return [
      this.message("request", wire.in, this.atoms(0, Math.min(wire.in.size, MOST_BYTES))
        .map(([start, end]) => this.sent(start, end))),
      this.message("response", wire.out, this.answered()),
    ];
  }

  message(name, way, nodes) {
    const hidden = Math.max(0, way.size - MOST_BYTES);
    return el("div", { class: "message" },
      el("h4", {}, `${say(name)}${either(", ", "，")}${bytes(way.size)}`),
      el("pre", {}, nodes, hidden > 0 ? el("i", {}, `\n${say("more.bytes", { n: hidden.toLocaleString("en") })}`) : null));
  }

  // The pieces of a range between all edges in it.
  atoms(start, end) {
    const inner = this.edges.filter((edge) => edge > start && edge < end);
    const from = [start, ...inner];
    return end > start ? from.map((edge, index) => [edge, inner[index] ?? end]) : [];
  }

  sent(start, end) {
    const text = shown(this.half.wire.in.text(start, end));
    const isClaimed = this.claimed.some(([from, to]) => from < end && start < to);
    return this.piece(text, [[start, end]], isClaimed ? null : "kept");
  }

  piece(text, spans, tone) {
    return el("span", { "data-spans": spansAttribute(spans), class: tone }, text);
  }

  // The answer, dark where the application has given it, and grey where the server has added it.
  answered() {
    const { out } = this.half.wire;
    const nodes = [];
    let at = 0; // up to here it is drawn
    for (const part of out.parts) {
      if (part.start >= MOST_BYTES) break;
      const end = Math.min(part.end, MOST_BYTES);
      nodes.push(this.added(at, part.start), this.part(part, end));
      at = end;
    }
    return [nodes, this.added(at, Math.min(out.size, MOST_BYTES))];
  }

  // What stands between the parts is the server's.
  added(start, end) {
    return el("span", { class: "kept" }, shown(this.half.wire.out.text(start, end)));
  }

  part(part, end) {
    if (part.name === "opaque") return this.framed(part.start, end);
    const { out } = this.half.wire;
    const text = out.text(part.start, end);
    const key = part.name === "status" ? `status ${text}` : part.name === "phrase" ? this.statusBefore(part)
      : part.of ? `field ${part.of}` : null;
    const body = part.name === "body" ? out.inBody(part.start, end) : [];
    return el("span", {
      "data-keys": key, "data-body": spansAttribute(body), class: this.isGiven(part, text) ? null : "kept",
    }, shown(text));
  }

  // A phrase goes with its status.
  statusBefore(phrase) {
    const { out } = this.half.wire;
    const status = out.parts.findLast((part) => part.name === "status" && part.start < phrase.start);
    return status ? `status ${out.text(status.start, status.end)}` : null;
  }

  // Whether a part of the answer is what the application has said.
  isGiven(part, text) {
    const { half } = this;
    const [status, ...phrase] = (half.answer.status ?? "").split(" ");
    if (part.name === "status") return text === status;
    if (part.name === "phrase") return text.length > 0 && text === phrase.join(" "); // in ASGI it is not said
    if (part.name === "body") return half.call !== null;
    return part.of !== "" && this.isGivenField(part);
  }

  // A field that has a value of the application's; its name and its value are two parts.
  isGivenField(part) {
    const { wire: { out }, answer } = this.half;
    const index = out.parts.indexOf(part) + (part.name === "field.name" ? 1 : 0);
    const value = out.parts[index];
    const text = value?.name === "field.value" ? out.text(value.start, value.end) : "";
    return answer.headers.some(([name, own]) => name.toLowerCase() === part.of && own === text);
  }

  // The frames of a WebSocket: dark is what the application has sent in them.
  framed(start, end) {
    const nodes = [];
    let at = start;
    const upTo = (to, attributes) => {
      if (to > at) nodes.push(el("span", attributes, shown(this.half.wire.out.text(at, to))));
      at = Math.max(at, to);
    };
    this.half.messages.out.forEach(({ spans }, index) => {
      for (const [from, to] of spans) {
        upTo(Math.min(from, end), { class: "kept" });
        upTo(Math.min(to, end), { "data-keys": `message ${index}` });
      }
    });
    upTo(end, { class: "kept" });
    return nodes;
  }

  // --- the server -------------------------------------------------------------------------------

  server() {
    const { half } = this;
    const connect = half.first("connect");
    const kept = half.wire.in.parts.filter((part) => !["path", "query", "body", "opaque"].includes(part.name)
      && !this.claimed.some(([from, to]) => from < part.end && part.start < to));
    const lifespan = half.beside.map((event) => plain(event.data.message?.type)).filter((type) => type.startsWith("lifespan."));
    const { parts } = half.wire.out;
    const final = parts.findLastIndex((part) => part.name === "status"); // an interim answer has fields too
    const added = parts.slice(Math.max(final, 0)).filter((part) => part.name === "field.name" && !this.isGivenField(part));
    return this.table([
      connect && this.said("connection.from", `127.0.0.1:${connect.data.port}`),
      half.call && this.said("runs.in", placeOf(half.call)),
      lifespan.length ? this.said("lifespan", lifespan.join(" · ")) : null,
      this.said("kept", this.listed(kept.map((part) =>
        this.piece(shown(half.wire.in.text(part.start, part.end)), [[part.start, part.end]], "kept")))),
      this.said("added", this.listed(added.map((part) =>
        el("span", { class: "kept", "data-keys": `field ${part.of}` }, half.wire.out.text(part.start, part.end))))),
    ]);
  }

  listed(nodes) {
    return nodes.length ? nodes.flatMap((node, index) => (index ? [" · ", node] : [node])) : say("nothing.kept");
  }

  // --- the seam ---------------------------------------------------------------------------------

  seam() {
    const { half } = this;
    if (half.call === null) return el("p", { class: "dark" }, say("not.reached"));
    const of = half.isWsgi ? "environ" : "scope";
    const entries = Object.entries(half.native).filter(([key]) => key !== "$more" && key !== "headers");
    const isSent = ([key]) => half.originOf(of, key)?.from === "wire";
    const sent = entries.filter(isSent).map(([key, value]) => this.value(of, key, value, half.originOf(of, key)));
    const headers = half.isWsgi ? [] : (half.native.headers ?? []).filter(Array.isArray).map((pair, index) =>
      this.value("headers", plain(pair[0]), pair[1], half.originOf("headers", index), written(pair[0])));
    const others = entries.filter((entry) => !isSent(entry)).map(([key, value]) => this.value(of, key, value, half.originOf(of, key)));
    const number = others.length + (half.native.$more ?? 0);
    return [
      el("h4", {}, of), this.table([...sent, ...headers]),
      el("details", {}, el("summary", {}, say("servers.own", { n: number })), this.table(others)),
      this.reads(), this.starts(), this.chunks(),
    ];
  }

  reads() {
    const rows = this.half.reads.map((event) => {
      const { method, bytes: read, message } = event.data;
      const spans = this.half.originOf(event.base, event.read)?.spans;
      return this.row(message ? plain(message.type) : method, this.told(message, read), { spans });
    });
    return rows.length ? [el("h4", {}, say("reads")), this.table(few(rows))] : null;
  }

  told(message, read) {
    if (!message) return written(read);
    const { type, ...others } = message;
    return Object.keys(others).length ? Object.entries(others).map(([name, value]) => `${name}=${written(value)}`).join(" ") : plain(type);
  }

  starts() {
    const { start, status, headers, raw } = this.half.answer;
    if (start === null) return [el("h4", {}, say("response")), el("p", { class: "dark" }, say("no.answer"))];
    return [
      el("h4", {}, nameAtSeam(start)),
      this.table([
        status && this.row("status", statusTold(status, this.half.isWsgi), { keys: `status ${status.split(" ")[0]}` }),
        ...headers.map(([field], index) => {
          const [name, value] = raw[index]; // text in WSGI, bytes in ASGI
          return this.row(typeof name === "string" ? name : written(name), written(value), { keys: `field ${field.toLowerCase()}` });
        }),
      ]),
    ];
  }

  chunks() {
    const rows = this.half.chunks.map(({ event, chunk, body, keys }) => {
      const name = nameAtSeam(event);
      return this.row(event.base === "send" ? name : `${name}()`, written(chunk), { body, keys });
    });
    return rows.length ? [el("h4", {}, say("chunks")), this.table(few(rows))] : null;
  }

  // --- the framework and the handler ------------------------------------------------------------

  framework() {
    const { half } = this;
    const request = half.first("request");
    if (request === null) return this.darkness();
    const match = half.first("match");
    const body = half.first("body");
    const response = half.events.findLast((event) => event.kind === "response");
    return [
      el("h4", {}, "Request"),
      this.table(Object.entries(request.data).flatMap(([name, value]) => this.attributes(name, value))),
      match && this.table([this.row("route", match.data.route === null ? "None" : plain(match.data.route))]),
      body && this.table([this.row("body", written(body.data.bytes ?? body.data.form), {
        spans: half.spansOf("wsgi.input", "receive"),
      })]),
      response && [el("h4", {}, "Response"), this.table([
        this.row("status", String(response.data.status), { keys: `status ${response.data.status}` }),
        response.data.bytes && this.row("body", written(response.data.bytes), { body: [[0, Infinity]] }),
      ])],
    ];
  }

  // An attribute, or each item of one that has several.
  attributes(name, value) {
    const items = name === "headers" || name === "query" ? pairsOf(value)
      : name === "cookies" ? Object.entries(value ?? {}) : null;
    if (items === null) return [this.value("request", name, value, this.half.originOf("request", name))];
    return items.map(([key, each]) =>
      this.value("request", `${name}.${key}`, each, this.half.originOf("request", `${name}.${key}`), `${name}[${written(key)}]`));
  }

  handler() {
    const { half } = this;
    const call = half.first("handler.call");
    if (call === null) return half.isInstrumented || half.call === null ? el("p", { class: "dark" }, say("none")) : this.darkness();
    const end = half.events[call.partner];
    const given = Object.entries(call.data.arguments ?? {}).map(([name, value]) =>
      this.value("request", name, value, half.originOf("request", `path_params.${name}`)));
    return [
      el("h4", {}, visible(callOf(half, call))),
      this.table([
        ...given,
        this.said("handler.in", placeOf(call)),
        end && (end.phase === "raise"
          ? this.said("raises", `${plain(end.data.type)}: ${plain(end.data.message)}`)
          : this.said("returns", "value" in end.data ? written(end.data.value) : plain(end.data.type),
            { body: typeof end.data.value === "string" ? [[0, Infinity]] : [] })),
      ]),
    ];
  }

  darkness() {
    if (this.half.call === null) return el("p", { class: "dark" }, say("not.reached"));
    return el("p", { class: "dark" }, escaped(say("dark", this.half)));
  }

  // --- rows -------------------------------------------------------------------------------------

  table(rows) {
    const there = rows.filter(Boolean);
    return there.length ? el("table", {}, el("tbody", {}, there)) : null;
  }

  // What can be lit can also be tabbed to.
  row(name, value, { spans = [], body = [], keys = null } = {}) {
    const lights = { "data-spans": spansAttribute(spans), "data-body": spansAttribute(body), "data-keys": keys };
    return el("tr", { tabindex: Object.values(lights).some(Boolean) ? 0 : null, ...lights }, el("th", { scope: "row" }, escaped(name)), el("td", {}, visible(value)));
  }

  // One whose name is prose.
  said(key, value, lights) {
    const row = this.row(say(key), value, lights);
    row.classList.add("said");
    return row;
  }

  // A value and where it came from; cut into the bytes that it is made of, where they spell it.
  value(of, key, value, origin, name = key) {
    const tone = origin?.from === "wire" ? null : "kept";
    const spans = origin?.from === "wire" ? (of === "environ" ? this.named(origin.spans) : origin.spans) : [];
    const notes = [origin?.from === "wire" && origin.how ? howTold(origin.how) : "", value?.masked ? say("masked") : ""].filter(Boolean);
    return el("tr", { tabindex: spans.length ? 0 : null, "data-spans": spansAttribute(spans) },
      el("th", { scope: "row", class: tone }, escaped(name)),
      el("td", { class: tone }, this.spelled(value, origin) ?? visible(written(value)),
        notes.map((note) => el("i", { class: "how" }, ` ${note}`))));
  }

  spelled(value, origin) {
    const text = typeof value === "string" ? value : value?.$bytes;
    if (origin?.from !== "wire" || text === undefined || value.masked || text.length > MOST_TEXT) return null;
    const span = origin.spans.at(-1);
    const pieces = this.atoms(...span).map(([start, end]) => [decoded(this.half.wire.in.text(start, end), origin.how), start, end]);
    if (pieces.length < 2 || pieces.map(([piece]) => piece).join("") !== text) return null;
    const [before, after] = typeof value === "string" ? ["'", "'"] : ["b'", "'"];
    const told = typeof value === "string" ? escaped : shown;
    return [before, ...pieces.map(([piece, start, end]) => this.piece(told(piece), [[start, end]])), after];
  }
}

// What a server or a framework makes of bytes, by what provenance says of it.
function decoded(sent, how) {
  if (!how.startsWith("percent-decoded")) return sent;
  const plused = how.includes("+ as a space") ? sent.replaceAll("+", " ") : sent;
  const bytes = plused.replace(/%([0-9a-f]{2})/gi, (_, digits) => String.fromCharCode(parseInt(digits, 16)));
  if (how.includes("as the character of its number")) return bytes;
  return new TextDecoder().decode(Uint8Array.from(bytes, (each) => each.charCodeAt(0)));
}

// What a cell holds: text in which everything can be seen, or nodes.
function visible(value) {
  if (typeof value !== "string" || value.length <= MOST_TEXT) return typeof value === "string" ? escaped(value) : value;
  const n = (value.length - MOST_TEXT).toLocaleString("en");
  return [escaped(value.slice(0, MOST_TEXT)), el("i", {}, ` ${say("more.characters", { n })}`)];
}

// A status as the protocol has it: text in WSGI, a number in ASGI.
const statusTold = (status, isWsgi) => (isWsgi ? written(status) : status);

function few(rows) {
  if (rows.length <= MOST + 1) return rows;
  const hidden = rows.length - MOST;
  return [...rows.slice(0, MOST - 1), el("tr", {}, el("td", { colspan: 2 }, say("more", { n: hidden.toLocaleString("en") }))), rows.at(-1)];
}

// Bytes of the wire, each line end as one, and what cannot be seen as its number.
const shown = (text) => text.split("\r\n").map((line) => line.split("\n").map((each) => escaped(each, 0x7e)).join("\n")).join("\n");
