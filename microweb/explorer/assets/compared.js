// Compared: what is the same in both halves, and what is different, for the exchange at hand.

import { el } from "explorer/nodes";
import { kindOf, placeOf, shortened } from "explorer/sentences";
import { bytes, counted, say } from "explorer/texts";
import { escaped, nameAtSeam, plain, sizeOf, written } from "explorer/trace";

export function compared(halves) {
  return el("aside", { class: "compared", "aria-labelledby": "compared" },
    el("h2", { id: "compared" }, say("compared")),
    el("table", {},
      el("thead", {}, el("tr", {}, el("td", {}),
        halves.map((half) => el("th", { scope: "col" }, escaped(half.name))))),
      el("tbody", {}, ROWS.map(([name, read]) => row(name, halves.map((half) => escaped(shortened(read(half)))))))));
}

function row(name, values) {
  const isSame = values.every((value) => value === values[0]);
  const text = values.length > 1 ? say(isSame ? "same" : "different") : "";
  return el("tr", { class: isSame ? "same" : "different" },
    el("th", { scope: "row" }, say(`row.${name}`), el("span", { class: "sr" }, ` ${text}`)),
    isSame ? el("td", { colspan: values.length }, values[0]) : values.map((value) => el("td", {}, value)));
}

// Each row, and how it is read of a half.
const ROWS = [
  ["server", (half) => half.run.server],
  ["call", (half) => (half.isWsgi ? "app(environ, start_response)" : "await app(scope, receive, send)")],
  ["path", (half) => native(half, "PATH_INFO", "path")],
  ["query", (half) => native(half, "QUERY_STRING", "query_string")],
  ["headers", (half) => (half.call === null ? say("not.called") : half.isWsgi
    ? `environ: HTTP_…, CONTENT_…, ${counted(Object.keys(half.native).filter((key) => /^(HTTP_|CONTENT_)/.test(key)).length, "key", "个键")}`
    : `scope["headers"]: ${counted(half.native.headers?.length ?? 0, "pair", "对")}`)],
  ["body", (half) => taken(half)],
  ["start", (half) => begun(half)],
  ["chunks", (half) => handedOver(half)],
  ["handler", (half) => {
    const call = half.first("handler.call");
    if (call !== null) return placeOf(call);
    return say(half.call === null ? "not.called" : half.isInstrumented ? "none" : "not.told");
  }],
  ["waits", (half) => say(half.call === null ? "not.called" : half.isWsgi ? "waits.wsgi" : "waits.asgi")],
  ["calls", (half) => {
    const calls = half.events.filter((event) => event.side === "seam" && event.phase === "call");
    const ins = calls.filter((event) => event.direction === "in").length;
    return seen(half, say("calls.told", { ins, outs: calls.length - ins }));
  }],
  ["end", (half) => ended(half)],
  ["status", (half) => half.wire.out.parts.filter((part) => part.name === "status")
    .map((part) => half.wire.out.text(part.start, part.end)).join(", ") || say("none")],
  ["bytes", (half) => {
    const frames = half.wire.out.sizeOf("opaque");
    return seen(half, frames ? say("frames", { n: bytes(frames) }) : bytes(half.wire.out.sizeOf("body")));
  }],
];

// Of a recording that was cut a number says only how much was seen.
const seen = (half, text) => (half.isCut ? say("at.least", { text }) : text);

const native = (half, wsgi, asgi) => {
  if (half.call === null) return say("not.called");
  const name = half.isWsgi ? wsgi : asgi;
  return `${half.isWsgi ? "environ" : "scope"}["${name}"] = ${written(half.native[name])}`;
};

function taken(half) {
  if (half.isWsgi) {
    const reads = half.reads.filter((event) => sizeOf(event.data.bytes) > 0);
    return reads.length ? seen(half, `wsgi.input.${reads[0].data.method}(), × ${reads.length}`) : say("none");
  }
  const messages = half.reads.map((event) => event.data.message)
    .filter(({ type, body }) => (type === "http.request" && sizeOf(body) > 0) || type === "websocket.receive")
    .map(({ type }) => plain(type));
  return messages.length ? seen(half, `receive() → ${messages[0]}, × ${messages.length}`) : say("none");
}

function begun(half) {
  const { start } = half.answer;
  if (start === null) return say("none");
  return start.base === "send" ? `send(${nameAtSeam(start)})` : "start_response(…)";
}

function handedOver(half) {
  const chunks = half.chunks.filter(({ chunk }) => sizeOf(chunk) > 0);
  if (!chunks.length) return say("none");
  const [{ event }] = chunks;
  const name = event.base === "send" ? `send(${nameAtSeam(event)})` : `${event.base}()`;
  return seen(half, `${name}, × ${chunks.length}`);
}

function ended(half) {
  if (half.call === null) return say("not.called");
  const raised = half.events.findLast((event) => event.kind === "app.raise"
    || (event.kind === "next.raise" && kindOf(event) !== "StopIteration"));
  if (raised) return say("ends.raise", { type: kindOf(raised) });
  if (half.first("app.return") && !half.isWsgi) return say("ends.coroutine");
  if (half.first("close.return")) return say("ends.close");
  if (half.first("next.raise")) return say("ends.iterable");
  if (half.isCut) return say("ends.cut");
  return say(half.first("app.return") ? "ends.iterable" : "ends.open");
}
