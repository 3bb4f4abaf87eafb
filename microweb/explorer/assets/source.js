// Source: the line that ran at a step, and whose it is.

import { el } from "explorer/nodes";
import { say } from "explorer/texts";

// Frameworks, and what they stand on; whatever else an application's call comes from is yours.
const FRAMEWORKS = ["microweb", "flask", "werkzeug", "fastapi", "starlette", "django", "falcon", "bottle", "litestar", "quart", "a2wsgi", "asgiref"];

// What is to be shown below a sentence: whose line it is, where it stands, and its text.
export function sourceOf(half, event) {
  if (event.side === "wire") return [el("span", { class: "quiet" }, say("no.source"))];
  const { source } = callerOf(half, event);
  if (!source) return [el("span", { class: "quiet" }, say("unknown.source"))];
  const whose = ownerOf(half, event);
  const place = `${pathOf(source)}:${source.line}`;
  return [
    el("span", { class: `whose ${whose}` }, say(`whose.${whose}`)),
    el("span", { class: "place", title: source.file }, `${place} `),
    el("code", {}, source.text ?? source.function),
  ];
}

// A file, from the folder of its package on: werkzeug/wrappers/response.py.
function pathOf({ file, module }) {
  const names = file.replaceAll("\\", "/").split("/");
  const root = names.lastIndexOf(module.split(".")[0]);
  return names.slice(root === -1 ? -2 : root).join("/");
}

// A return leads to the line that made the call.
const callerOf = (half, event) =>
  (event.phase === "return" || event.phase === "raise" ? half.events[event.partner] ?? event : event);

// A call into the application is the server's; what the application does is the framework's, a
// library's, or yours.
export function ownerOf(half, event) {
  const call = callerOf(half, event);
  if (call.side === "seam" && call.direction === "in") return "server";
  const { module = "", file = "" } = call.source ?? {};
  if (module === "microweb.demo" || module.startsWith("microweb.demo.")) return "yours";
  if (FRAMEWORKS.includes(module.split(".")[0])) return "framework";
  return /[\\/](site-packages|lib[\\/]python3[^\\/]*)[\\/]/i.test(file) ? "library" : "yours";
}
