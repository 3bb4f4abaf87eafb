// Explorer: the page as a whole. What is shown follows from a recording, a step and a language.

import { Ask } from "explorer/ask";
import { carried } from "explorer/carried";
import { compared } from "explorer/compared";
import { Light } from "explorer/light";
import { el } from "explorer/nodes";
import { BANDS, HEIGHT, MIDDLE, Picture, SEAM } from "explorer/picture";
import { sentenceOf } from "explorer/sentences";
import { sourceOf } from "explorer/source";
import { counted, either, LANGUAGES, say, speak, spoken } from "explorer/texts";
import { escaped, halvesOf } from "explorer/trace";

const PACE = 900; // milliseconds from one step to the next, while it plays
const content = JSON.parse(document.getElementById("content").textContent);

class Explorer {
  constructor() {
    this.root = document.getElementById("page");
    this.halves = content.recording ? halvesOf(content.recording) : [];
    this.ask = content.scenarios && new Ask(content.scenarios, (recording) => this.see(recording));
    this.step = 0;
    this.playing = null;
    document.addEventListener("keydown", (event) => this.press(event));
    addEventListener("resize", () => this.drawPictures());
  }

  see(recording) {
    this.stop();
    this.halves = halvesOf(recording);
    this.step = 0;
    this.drawSeen();
    // On a phone the form fills the window.
    if (this.seen.getBoundingClientRect().top > innerHeight / 2) this.seen.scrollIntoView();
  }

  // --- drawing ----------------------------------------------------------------------------------

  draw() {
    this.stop();
    document.documentElement.lang = spoken() === "en" ? "en" : "zh-Hans";
    document.title = say("title");
    this.seen = el("main", {});
    this.root.replaceChildren(
      el("header", {},
        el("div", {}, el("h1", {}, say("title")), el("p", { class: "tagline" }, say("tagline"))),
        this.languages()),
      ...(this.ask ? [this.ask.draw()] : []),
      this.seen);
    this.drawSeen();
  }

  languages() {
    return el("div", { class: "languages", role: "group", "aria-label": say("language") },
      Object.entries(LANGUAGES).map(([code, name]) => el("button", {
        type: "button", lang: code, id: `language-${code}`, "aria-pressed": String(code === spoken()),
        click: () => {
          speak(code);
          this.draw();
          document.getElementById(`language-${code}`).focus();
        },
      }, name)));
  }

  drawSeen() {
    this.steps = this.halves.flatMap((half) => half.events.map((event) => ({ half, event })));
    this.seen.classList.toggle("alone", this.halves.length === 1);
    if (!this.halves.length) {
      this.seen.replaceChildren(empty());
      return;
    }
    this.scrollers = this.halves.map(() => el("div", { class: "scroller", tabindex: 0, role: "img" }));
    this.seen.replaceChildren(
      el("div", { class: "top" }, this.player(), this.halvesDrawn(), key(), this.troubles(), this.story(),
        this.ask ? el("p", {}, el("a", { href: "/recording", download: "recording.html", id: "keep" }, say("keep"))) : null),
      compared(this.halves), carried(this.halves));
    this.light = new Light(this.seen, this.halves);
    this.drawPictures();
  }

  // The pictures are as wide as there is room.
  drawPictures() {
    if (!this.halves.length) return;
    this.pictures = this.halves.map((half, index) => {
      const before = this.steps.findIndex((step) => step.half === half);
      const scroller = this.scrollers[index];
      scroller.replaceChildren();
      const picture = new Picture(half, scroller.clientWidth - 8, (step) => this.move(before + step));
      scroller.append(picture.node);
      scroller.setAttribute("aria-label", say("picture.of", {
        protocol: half.name, events: `${half.events.length.toLocaleString("en")} ${say("events")}`,
      }));
      return picture;
    });
    this.light.forget();
    this.goTo(this.step);
  }

  player() {
    const control = (name, sign, act) => el("button", { type: "button", "aria-label": say(name), title: say(name), id: name, click: act }, sign);
    this.told = { position: el("span", { class: "position" }), sentence: el("p", { class: "sentence" }), name: el("code", {}), clause: el("span", { class: "clause" }), source: el("p", { class: "source" }) };
    this.playButton = control("play", "▶", () => this.toggle());
    this.slider = el("input", {
      type: "range", min: 0, max: Math.max(this.steps.length - 1, 0), value: this.step, "aria-label": say("steps"), id: "scrub",
      input: () => { this.stop(); this.goTo(Number(this.slider.value)); },
    });
    return el("section", { class: "player", "aria-label": say("steps") },
      el("div", { class: "now", "aria-live": "polite", "aria-atomic": "true" },
        el("p", { class: "named" }, this.told.position, this.told.name, this.told.clause),
        this.told.sentence, this.told.source),
      el("div", { class: "controls" },
        control("step.first", "⇤", () => this.move(0)), control("step.back", "←", () => this.move(this.step - 1)),
        this.playButton,
        control("step.on", "→", () => this.move(this.step + 1)), control("step.last", "⇥", () => this.move(this.steps.length - 1)),
        this.slider, el("span", { class: "keys" }, say("keys"))));
  }

  halvesDrawn() {
    return el("section", { class: "halves", "aria-label": say("picture") }, this.halves.map((half, index) =>
      el("figure", { class: `half ${half.run.protocol}`, "data-half": half.index },
        el("figcaption", {}, el("b", {}, half.run.protocol.toUpperCase()), escaped(` ${half.run.server} · ${half.run.target}`),
          half.others.size ? el("span", { class: "quiet" }, ` · ${say("others", { n: counted(half.others.size, "other request", "个别的请求") })}`) : null),
        el("div", { class: "bands" }, this.scrollers[index], bandNames(),
          half.events.length ? inTheDark(half) : el("p", { class: "nothing" }, say("nothing"))))));
  }

  troubles() {
    const told = this.halves.filter((half) => half.trouble);
    return told.length ? el("section", { class: "troubles", "aria-label": say("trouble") }, told.map((half) => el("div", { class: "trouble" },
      el("p", {}, el("b", {}, escaped(half.name)), ` ${troubleOf(half)}`),
      half.trouble.log ? el("details", {}, el("summary", {}, say("log")), el("pre", {}, half.trouble.log)) : null))) : null;
  }

  // The same story in words, for whoever does not see the picture, or likes to read.
  story() {
    const lists = el("div", { class: "pair" });
    return el("details", { class: "story", toggle: ({ target }) => {
      if (!target.open || lists.hasChildNodes()) return;
      lists.append(...this.halves.map((half) => el("section", { "aria-label": half.name },
        el("h3", {}, escaped(`${half.name} · ${half.run.server}`)),
        el("ol", {}, half.events.map((event) => {
          const { text, name } = sentenceOf(half, event);
          return el("li", {}, el("code", {}, name), ` ${text}`);
        })))));
    } }, el("summary", {}, say("story")), lists);
  }

  // --- stepping ---------------------------------------------------------------------------------

  move(step) {
    this.stop();
    this.goTo(step);
  }

  goTo(step) {
    this.step = Math.max(0, Math.min(step, this.steps.length - 1));
    const now = this.steps[this.step];
    if (now === undefined) return;
    const { half, event } = now;
    const { text, name, clause } = sentenceOf(half, event);
    const { told } = this;
    told.position.textContent = `${half.name} · ${say("step", { step: event.index + 1, steps: half.events.length })}`;
    told.name.textContent = name;
    told.clause.textContent = clause;
    told.sentence.textContent = text;
    told.source.replaceChildren(...sourceOf(half, event));
    this.slider.value = this.step;
    this.pictures.forEach((picture, index) => {
      const isPast = index < this.halves.indexOf(half);
      picture.goTo(picture.half === half ? event.index : isPast ? picture.half.events.length : -1, name);
    });
    this.show(half, event);
  }

  // Scroll the picture, if need be, so that the step and those around it are seen.
  show(half, event) {
    const index = this.halves.indexOf(half);
    const scroller = this.scrollers[index];
    const x = this.pictures[index].x(event.index);
    const margin = Math.min(80, scroller.clientWidth / 4);
    if (x < scroller.scrollLeft + margin) scroller.scrollLeft = x - margin;
    else if (x > scroller.scrollLeft + scroller.clientWidth - margin) scroller.scrollLeft = x - scroller.clientWidth + margin;
  }

  toggle() {
    if (this.playing) {
      this.stop();
      return;
    }
    if (this.step >= this.steps.length - 1) this.goTo(0);
    this.playing = setInterval(() => {
      this.goTo(this.step + 1);
      if (this.step >= this.steps.length - 1) this.stop();
    }, PACE);
    this.mark("pause", "‖");
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
    if (this.playButton) this.mark("play", "▶");
  }

  mark(name, sign) {
    this.playButton.textContent = sign;
    this.playButton.setAttribute("aria-label", say(name));
    this.playButton.title = say(name);
  }

  press(event) {
    if (!this.halves.length || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, textarea, select")) return;
    const moves = {
      ArrowRight: () => this.move(this.step + 1),
      ArrowLeft: () => this.move(this.step - 1),
      Home: () => this.move(0),
      End: () => this.move(this.steps.length - 1),
      // A button, and what can be opened, has a use of its own for it.
      " ": event.target.closest("button, summary") ? null : () => this.toggle(),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  }
}

// --- what does not change -----------------------------------------------------------------------

function bandNames() {
  const names = BANDS.map((band) => el("li", { class: band }, say(band)));
  names.forEach((name, index) => { name.style.top = `${MIDDLE[BANDS[index]]}px`; });
  return el("ul", { class: "names" }, names);
}

function inTheDark(half) {
  if (half.isInstrumented) return null;
  return el("p", { class: "inside" }, half.call === null ? say("not.reached") : escaped(say("dark", half)));
}

function troubleOf({ trouble: { kind, server, why } }) {
  return say(`trouble.${kind}`, { server, why: why && `${either(": ", "：")}${why}` });
}

function key() {
  const sample = (kind, name = kind) => el("span", {}, el("i", { class: `sample ${kind}`, "aria-hidden": "true" }), say(`key.${name}`));
  return el("p", { class: "key" }, sample("call"), sample("return"), sample("hatch", "blocked"),
    sample("dots", "suspended"), sample("runs"), el("span", {}, el("b", { class: "cross", "aria-hidden": "true" }, "✕ "), say("key.raise")), el("span", {}, say("time.note")));
}

function empty() {
  return el("section", { class: "empty" }, el("h2", {}, say("empty.head")),
    ["roles", "wsgi", "asgi"].map((name) => el("p", {}, say(`empty.${name}`))));
}

const { style } = document.documentElement;
style.setProperty("--height", `${HEIGHT}px`);
style.setProperty("--seam-at", `${SEAM}px`);
style.setProperty("--inside-at", `${MIDDLE.framework}px`);
speak(navigator.language.startsWith("zh") ? "zh" : "en");
new Explorer().draw();
