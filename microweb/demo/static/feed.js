// The live feed: one EventSource, which reconnects by itself and says where it was.

const feed = document.getElementById("feed");
const status = document.getElementById("status");
const MOST = 200; // notes kept in the page, which may stay open for days

// How the server answers, as its first event tells.
const MODES = {
  stream: "Live: the response is open, and grows with every note.",
  alone: "Polling every 3 seconds: this server has one plain worker, and an endless response would lock everybody else out.",
  full: "Polling every 3 seconds: as many threads as this process can spare are streaming to others.",
};

let mode = null;

function say(text, live) {
  // Polling says the same again and again, and a screen reader would read it out every time.
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("on", live);
}

function show(note) {
  const element = document.getElementById("note").content.cloneNode(true).firstElementChild;
  element.classList.add(note.door);
  element.querySelector("h3").textContent = note.name; // as text: never as markup
  element.querySelector(".text").textContent = note.text;
  element.querySelector(".came").textContent = `by ${note.door.toUpperCase()}`;
  element.querySelector(".came").classList.add(note.door);
  const at = new Date(note.at);
  const time = element.querySelector("time");
  time.dateTime = note.at;
  time.textContent = at.toLocaleString("en-GB", {
    day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: "UTC",
  }).replace(" at ", ", ") + " UTC";
  if (note.image) {
    const image = new Image();
    image.alt = `Image left by ${note.name}`;
    image.src = note.image;
    element.querySelector("figure").append(image);
    element.querySelector("figure").hidden = false;
  }
  feed.prepend(element);
  while (feed.children.length > MOST) feed.lastElementChild.remove();
}

const source = new EventSource(feed.dataset.events);
say("Connecting…", false);

source.addEventListener("mode", (event) => {
  mode = event.data;
  say(MODES[mode], true);
});

source.addEventListener("message", (event) => show(JSON.parse(event.data)));

source.addEventListener("error", () => {
  if (source.readyState === EventSource.CLOSED) say("The server refuses the feed; reload to try again.", false);
  // The end of a poll is no error, though it is reported as one.
  else if (mode === null || mode === "stream") say("The connection is gone; trying again…", false);
});
