// Ask: the form for a request, the ready ones, and the sending.

import { el } from "explorer/nodes";
import { say } from "explorer/texts";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

// The form keeps what is typed in `request`, whatever language it is drawn in.
export class Ask {
  constructor(scenarios, onSeen) {
    this.scenarios = scenarios;
    this.onSeen = onSeen;
    this.fill(scenarios[0]);
    this.busy = false;
  }

  fill({ method, target, headers, pieces, leave }) {
    this.request = {
      method, target, headers: headers.join("\n"), body: pieces.join("\n"), byLine: pieces.length > 1, leave,
    };
  }

  draw() {
    const { request } = this;
    const keep = (name) => ({ target }) => {
      request[name] = target.type === "checkbox" ? target.checked : target.value;
    };
    const field = (name, kind, attributes, ...children) => el("label", { class: `field ${name}` }, el("span", {}, say(name)),
      el(kind, { id: name, name, input: keep(name), spellcheck: "false", autocomplete: "off", ...attributes }, children));
    const box = (name, key) => el("label", { class: "box" },
      el("input", { type: "checkbox", id: name, checked: request[key], input: keep(key) }), say(name));
    this.status = el("p", { class: "status", role: "status" }, this.busy ? say("sending") : "");
    // Not disabled: it would lose the focus.
    this.button = el("button", { type: "submit", class: "send", "aria-disabled": this.busy ? "true" : null }, say("send"));
    this.form = el("form", { class: "ask", "aria-label": say("ask"), submit: (event) => {
      event.preventDefault();
      this.send();
    } },
    el("div", { class: "chips", role: "group", "aria-labelledby": "ready" }, el("span", { id: "ready" }, say("ready")), this.scenarios.map((scenario) =>
      el("button", { type: "button", id: `scenario-${scenario.name}`, click: () => this.choose(scenario) }, say(`scenario.${scenario.name}`)))),
    el("div", { class: "line" },
      field("method", "input", { list: "methods", value: request.method, size: 8, required: true }),
      el("datalist", { id: "methods" }, METHODS.map((value) => el("option", { value }))),
      field("target", "input", { value: request.target, required: true }), this.button),
    el("div", { class: "line" },
      field("headers", "textarea", { rows: 2 }, request.headers), field("body", "textarea", { rows: 2 }, request.body)),
    el("div", { class: "line" }, box("pieces", "byLine"), box("leave", "leave"), this.status));
    return this.form;
  }

  choose(scenario) {
    if (this.busy) return;
    this.fill(scenario);
    this.form.replaceWith(this.draw());
    document.getElementById(`scenario-${scenario.name}`).focus();
    this.send();
  }

  async send() {
    if (this.busy) return;
    this.busy = true;
    this.button.setAttribute("aria-disabled", "true");
    const { method, target, headers, body, byLine, leave } = this.request;
    const pieces = body === "" ? [] : byLine ? body.split("\n").filter((line) => line !== "") : [body];
    this.tell(say("sending"));
    const long = setTimeout(() => this.tell(say("sending.long")), 1500);
    try {
      this.tell(await this.post({
        method: method.trim(), target: target.trim(), headers: headers.split("\n").filter((line) => line.trim() !== ""), pieces, leave,
      }));
    } finally {
      clearTimeout(long);
      this.busy = false;
      this.button.removeAttribute("aria-disabled");
    }
  }

  // Send it, and hand on what was seen; what is returned is to be told, if anything went wrong.
  async post(request) {
    let answer;
    try {
      answer = await fetch("/ask", {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json" },
        body: JSON.stringify(request),
      });
    } catch {
      return say("unreachable");
    }
    const told = await answer.json().catch(() => null);
    if (answer.ok && told) this.onSeen(told);
    else return told ? say("refused", { why: told.detail }) : say("failed", { status: answer.status });
    return "";
  }

  tell(text) {
    this.status.textContent = text;
  }
}
