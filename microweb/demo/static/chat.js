// The chat: one WebSocket, opened anew when it breaks.

const chat = document.getElementById("chat");
const status = document.getElementById("status");
const log = document.getElementById("log");
const present = document.getElementById("present");
const form = document.getElementById("say");
const message = document.getElementById("message");
const send = form.querySelector("button");

const MOST = 500; // messages kept in the page
const LONGEST_PAUSE = 15000; // milliseconds

let socket;
let pause = 500;

function say(text, live) {
  status.textContent = text;
  status.classList.toggle("on", live);
  message.disabled = send.disabled = !live;
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text; // as text: never as markup
  made.className = className;
  made.dir = "auto";
  return made;
}

const RECEIVED = {
  message({ name, text, at }) {
    const time = element("time", new Date(at).toISOString().slice(11, 16));
    time.dateTime = at;
    const line = document.createElement("li");
    line.append(element("b", name), " ", time, element("p", text));
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(line);
    if (log.children.length > MOST) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight; // whoever reads further up is left there
  },
  presence({ names }) {
    present.replaceChildren(...names.map((name) => element("li", name)));
  },
};

function connect() {
  const url = new URL(chat.dataset.socket, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    pause = 500;
    log.replaceChildren(); // the history comes again
    say("Connected: either side may speak at any time.", true);
    if (document.activeElement === document.body) message.focus();
  });
  socket.addEventListener("message", (event) => {
    const received = JSON.parse(event.data);
    RECEIVED[received.kind](received);
  });
  socket.addEventListener("close", (event) => {
    present.replaceChildren();
    say(`${event.reason || "The connection is gone."} Trying again…`, false);
    setTimeout(connect, pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!message.value.trim() || socket.readyState !== WebSocket.OPEN) return;
  socket.send(message.value);
  message.value = "";
});

say("Connecting…", false);
connect();
