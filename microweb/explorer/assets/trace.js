// Trace: what was recorded, read from the records of the trace format (microweb/tracing/format.py).
//
// A half is one run: its events are its steps, and a call knows the event that ends it, and the
// other way round. What was sent on the wire is put together again, with the parts that it has.

import { bytesOfMessage, messagesOf } from "explorer/frames";

// --- values -------------------------------------------------------------------------------------

// The bytes that a recorded value holds, each as the character of its number; "" if it holds none.
export function bytesOf(value) {
  return value && typeof value === "object" ? value.$bytes ?? "" : "";
}

// How many bytes or characters there were, of which a trace may hold only the first.
export function sizeOf(value) {
  return typeof value === "string" ? value.length : value?.size ?? value?.length ?? 0;
}

// A recorded value as text, without the quotes that Python would put around it.
export function plain(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "object") return String(value);
  return String(value.$text ?? value.$bytes ?? value.$type ?? written(value));
}

const NAMES = new Map([[null, "None"], [undefined, "None"], [true, "True"], [false, "False"]]);

// A recorded value as Python would write it: b'caf\xc3\xa9', 'café', None, <io.BytesIO>.
export function written(value) {
  if (NAMES.has(value)) return NAMES.get(value);
  if (typeof value === "string") return quoted(value);
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if ("$bytes" in value) return `b${quoted(value.$bytes, 0x7e)}${rest(value, value.$bytes)}`;
  if ("$text" in value) return `${quoted(value.$text)}${rest(value, value.$text)}`;
  if ("$type" in value) return `<${value.$type}>`;
  const items = Object.entries(value).map(([key, each]) =>
    key === "$more" ? `... ${each} more` : `${quoted(key)}: ${written(each)}`);
  return `{${items.join(", ")}}`;
}

function rest(value, shown) {
  const whole = sizeOf(value);
  return whole > shown.length ? ` ... ${(whole - shown.length).toLocaleString("en")} more` : "";
}

function quoted(text, last = Infinity) {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  return quote + escaped(text.replaceAll("\\", "\\\\").replaceAll(quote, `\\${quote}`), last) + quote;
}

const ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

// Text in which every character can be seen; those after `last` are written as numbers.
export function escaped(text, last = Infinity) {
  // Control characters, and those that turn the direction of what follows.
  return text.replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]|[^\x00-\x7f]/g, (found) => {
    const code = found.charCodeAt(0);
    if (code > 0x9f && code <= last && !/[\u200e\u200f\u2028-\u202e\u2066-\u2069]/.test(found)) return found;
    return ESCAPES[found] ?? (code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
  });
}

const hex = (code, width) => code.toString(16).padStart(width, "0");

// Headers of either protocol, as pairs of text.
export function pairsOf(headers) {
  return (Array.isArray(headers) ? headers : [])
    .filter(isPair)
    .map(([name, value]) => [plain(name), plain(value)]);
}

const isPair = (each) => Array.isArray(each) && each.length === 2;

// --- a recording --------------------------------------------------------------------------------

export function halvesOf({ records, troubles }) {
  const [header] = records;
  const halves = header.runs.map((run, index) => new Half(run, index, troubles[index] ?? null));
  for (const record of records.slice(1)) halves[record.run].take(record);
  for (const half of halves) half.finish();
  nameApart(halves);
  return halves;
}

// A half goes by its protocol; where that does not tell them apart, by its server or target too.
function nameApart(halves) {
  const protocol = ({ run }) => run.protocol.toUpperCase();
  const ways = [protocol, (half) => `${protocol(half)}, ${half.server}`, (half) => `${protocol(half)}, ${half.run.target}`];
  const tells = ways.find((way) => new Set(halves.map(way)).size === halves.length) ?? protocol;
  for (const half of halves) half.name = tells(half);
}

class Half {
  constructor(run, index, trouble) {
    this.run = run;
    this.index = index;
    this.trouble = trouble;
    this.events = [];
    this.origins = [];
    this.exchange = null; // the request that is looked at: the first that was seen
    this.others = new Set(); // and those that are not, if there were more
    this.beside = []; // what belongs to no request, as the lifespan
    this.isWsgi = run.protocol === "wsgi";
    this.server = run.server.split(" ")[0];
  }

  take(record) {
    if (record.exchange === null) {
      this.beside.push(record);
      return;
    }
    this.exchange ??= record.exchange;
    if (record.exchange !== this.exchange) this.others.add(record.exchange);
    else if (record.record === "event") this.events.push(record);
    else if (record.record === "provenance") this.origins.push(...record.origins);
  }

  finish() {
    this.events.forEach((event, index) => {
      const dot = event.kind.lastIndexOf(".");
      event.index = index;
      event.base = event.kind.slice(0, dot);
      event.phase = event.kind.slice(dot + 1);
      event.partner = null;
    });
    pair(this.events);
    this.wire = { in: new Way(this.events, "in"), out: new Way(this.events, "out") };
    this.call = this.first("app.call");
    this.native = this.call?.data.environ ?? this.call?.data.scope ?? {};
    this.isInstrumented = this.events.some((event) => event.side === "framework");
    this.reads = this.all(this.isWsgi ? "wsgi.input.return" : "receive.return");
    this.reads.forEach((event, number) => { event.read = number; });
    this.messages = { in: messagesOf(this.wire.in), out: messagesOf(this.wire.out) };
    this.origins.push(...this.unmasked());
    this.origin = new Map(this.origins.map((each) => [`${each.of}|${each.key}`, each]));
    this.framework = Object.keys(this.run.software).find((name) => name !== "python") ?? this.run.target;
    this.isWebSocket = this.native.type === "websocket";
    this.isCut = this.first("cut") !== null;
    this.answer = this.answered();
    this.chunks = this.handedOver();
    this.chunkAt = new Map(this.chunks.map((chunk) => [chunk.event, chunk]));
    // The body as it was handed over, as far as it was kept.
    this.body = this.chunks.map(({ chunk }) => bytesOf(chunk)).join("");
  }

  first(kind) {
    return this.events.find((event) => event.kind === kind) ?? null;
  }

  all(kind) {
    return this.events.filter((event) => event.kind === kind);
  }

  // All bytes that something was made of: "environ", "request", "receive".
  spansOf(...ofs) {
    return this.origins.filter((origin) => ofs.includes(origin.of)).flatMap((origin) => origin.spans);
  }

  // Where a value came from, as provenance says it.
  originOf(of, key) {
    return this.origin.get(`${of}|${key}`) ?? null;
  }

  // What the application has answered, at the seam: its last status, if it says one, and headers.
  answered() {
    const type = (event) => event.data.message?.type;
    const start = this.events.findLast((event) => statusOf(event) !== null || type(event) === "websocket.accept")
      ?? this.events.find((event) => type(event) === "websocket.close") ?? null;
    const { headers } = start?.data.message ?? start?.data ?? {};
    const raw = (Array.isArray(headers) ? headers : []).filter(isPair);
    return { start, status: start && statusOf(start), headers: pairsOf(headers), raw };
  }

  // Where the messages came from that the application was given: the payload of which frames.
  unmasked() {
    const given = this.reads.filter((event) => event.data.message?.type === "websocket.receive");
    return given.flatMap((event, index) => {
      const message = this.messages.in[index];
      const isSame = message !== undefined && message.data === bytesOfMessage(event.data.message);
      return isSame ? [{ of: "receive", key: event.read, from: "wire", spans: message.spans, how: "" }] : [];
    });
  }

  // What it has handed over of the body, each with where in the body that stands.
  handedOver() {
    let at = 0;
    return this.events.filter((event) => chunkOf(event) !== null).map((event, index) => {
      const chunk = chunkOf(event);
      if (this.isWebSocket) {
        const isSame = this.messages.out[index]?.data === bytesOfMessage(event.data.message);
        return { event, chunk, body: [], keys: isSame ? `message ${index}` : null };
      }
      return { event, chunk, body: [[at, at += sizeOf(chunk)]], keys: null };
    });
  }
}

// The name that a call has at the seam, or the message that is sent with it.
export const nameAtSeam = (event) => (event.base === "send" ? plain(event.data.message.type) : event.base);

// The status that an event says at the seam, or null.
export function statusOf(event) {
  if (event.kind === "start_response.call") return plain(event.data.status);
  const message = event.kind === "send.call" ? event.data.message : null;
  return typeof message?.status === "number" ? String(message.status) : null;
}

// The bytes that an event hands over at the seam, towards the client; or null where it has none.
export function chunkOf(event) {
  if (event.kind === "next.return" || event.kind === "write.call") return event.data.bytes;
  if (event.kind !== "send.call") return null;
  const { type, body, bytes, text } = event.data.message ?? {};
  return type?.endsWith(".body") ? body ?? { $bytes: "", size: 0 } : bytes ?? text ?? null;
}

// Each call finds its end: the latest that is still open, of the same thread or task if there is one.
function pair(events) {
  let open = [];
  for (const event of events) {
    if (event.phase === "call") open.push(event);
    else if (event.phase === "return" || event.phase === "raise") {
      const fitting = open.filter((call) => call.base === event.base && whoOf(call) === whoOf(event));
      const call = fitting.findLast((each) => isSamePlace(each, event)) ?? fitting.at(-1);
      if (call === undefined) continue;
      open = open.filter((each) => each !== call);
      call.partner = event.index;
      event.partner = call.index;
    }
  }
}

const whoOf = (event) => `${event.exchange} ${event.data.layer ?? event.data.handler ?? ""}`;

export function isSamePlace(one, other) {
  return ["process", "thread", "task"].every((name) => one.where?.[name] === other.where?.[name]);
}

// All that was sent in one direction, as far as it was kept, and the parts that it has.
class Way {
  constructor(events, direction) {
    this.pieces = [];
    this.parts = []; // { name, start, end, of: the field's name, key }
    for (const { kind, direction: own, data } of events) {
      if (kind !== "bytes" || own !== direction) continue;
      this.pieces.push({ start: data.offset, text: bytesOf(data.bytes), end: data.offset + data.bytes.size });
      for (const [name, start, end] of data.parts) this.add(name, start, end);
    }
    this.name();
  }

  get size() {
    return this.pieces.at(-1)?.end ?? 0;
  }

  // A part that came in two pieces is one part.
  add(name, start, end) {
    const before = this.parts.at(-1);
    if (before?.name === name && before.end === start) before.end = end;
    else this.parts.push({ name, start, end });
  }

  // Its key says which part it is, whatever its offsets: the second field.value of "accept".
  name() {
    const seen = new Map();
    let field = "";
    for (const part of this.parts) {
      if (part.name === "field.name") field = this.text(part.start, part.end).toLowerCase();
      part.of = part.name.startsWith("field") ? field : "";
      const kind = `${part.name} ${part.of}`;
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      part.key = `${kind} ${seen.get(kind)}`;
    }
    this.byKey = new Map(this.parts.map((part) => [part.key, part]));
  }

  // The bytes from one offset to another, as far as they were kept.
  text(start, end) {
    let found = "";
    for (const piece of this.pieces) {
      if (piece.end <= start || piece.start >= end) continue;
      found += piece.text.slice(Math.max(start - piece.start, 0), end - piece.start);
    }
    return found;
  }

  // Where in the body, which may be in chunks, the bytes of a range stand.
  inBody(start, end) {
    const found = [];
    let at = 0;
    for (const part of this.parts) {
      if (part.name !== "body") continue;
      const [from, to] = [Math.max(start, part.start), Math.min(end, part.end)];
      if (from < to) found.push([at + from - part.start, at + to - part.start]);
      at += part.end - part.start;
    }
    return found;
  }

  // How many bytes the parts of a name have.
  sizeOf(name) {
    return this.parts.filter((part) => part.name === name).reduce((sum, part) => sum + part.end - part.start, 0);
  }

  // The same bytes in the other half's way: in the part of the same key, if they are the same there.
  spansIn(other, spans) {
    const found = [];
    for (const [start, end] of spans) {
      for (const part of this.parts) {
        if (part.name === "target" || part.end <= start || part.start >= end) continue;
        const twin = other.byKey.get(part.key);
        if (!twin) continue;
        const [from, to] = [Math.max(start, part.start), Math.min(end, part.end)];
        const moved = [from - part.start + twin.start, to - part.start + twin.start];
        if (this.text(from, to) === other.text(...moved)) found.push(moved);
      }
    }
    return found;
  }
}
