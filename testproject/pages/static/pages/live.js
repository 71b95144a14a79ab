// Keeps a page's values fresh. Without it the page works all the same, by reloading.
//
// data-live="/ws/counter/"         follow this WebSocket, which sends {"key": …, "value": …}
// data-live-text="counter"         show the value of this key; data-live-field="name": this field of it
// data-live-lines="room.lobby"     show the lines of this key as a list; data-live-fields="author text": these of each
// form[data-in-place]              send this form without leaving the page
//
// <html data-via-connection> says: online, connecting or offline.

const NOTHING_TO_FOLLOW = 4001; // the server's answer to a visitor without a session
const FIRST_PAUSE = 250; // milliseconds
const LONGEST_PAUSE = 5000;
const WORDS = { online: "Live", connecting: "Connecting…", offline: "Not connected; trying again" };

const connections = new Map(); // path → state
const settled = new Set(); // what asks again for those that had nothing to follow

function show(path, state) {
  connections.set(path, state);
  const states = [...connections.values()];
  const worst = ["offline", "connecting", "online"].find((one) => states.includes(one));
  if (document.documentElement.dataset.viaConnection === worst) return;
  document.documentElement.dataset.viaConnection = worst;
  document.querySelector(".connection").textContent = WORDS[worst];
}

function follow(path, failures = 0) {
  const address = new URL(path, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.onmessage = (message) => {
    failures = 0;
    paint(JSON.parse(message.data));
    show(path, "online");
  };
  socket.onclose = (event) => {
    const nothing = event.code === NOTHING_TO_FOLLOW;
    if (!nothing) show(path, "offline");
    // Full jitter: after a restart, pages do not come back all at once.
    const pause = Math.random() * (nothing ? LONGEST_PAUSE : Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures));
    const again = () => {
      clearTimeout(timer);
      settled.delete(again);
      if (!nothing) show(path, "connecting");
      follow(path, failures + 1);
    };
    const timer = setTimeout(again, pause);
    if (nothing) settled.add(again);
  };
}

function paint({ key, value }) {
  const name = CSS.escape(key);
  for (const element of document.querySelectorAll(`[data-live-text="${name}"]`)) {
    const { liveField } = element.dataset;
    const text = String(liveField === undefined ? value : value[liveField]);
    if (element.textContent !== text) element.textContent = text;
  }
  for (const list of document.querySelectorAll(`[data-live-lines="${name}"]`)) paintLines(list, value);
}

// Leaves the lines in place that are there already, so that a screen reader speaks the new ones only.
function paintLines(list, lines) {
  const box = list.parentElement;
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const fields = (list.dataset.liveFields ?? "author text").split(" ");
  const wanted = lines.map((line) => fields.map((field) => line[field]).join("\n"));
  const shown = [...list.children].map((item) => [...item.children].map((part) => part.textContent).join("\n"));
  let gone = 0;
  while (!shown.slice(gone).every((line, index) => line === wanted[index])) gone += 1;
  for (let count = 0; count < gone; count += 1) list.firstElementChild.remove();
  for (const line of lines.slice(shown.length - gone)) list.append(item(line, fields));
  if (atEnd) box.scrollTop = box.scrollHeight;
}

function item(values, fields) {
  const line = document.createElement("li");
  line.classList.toggle("noted", values.note === true);
  fields.forEach((field, index) => {
    const part = document.createElement(index ? "span" : "b");
    part.textContent = values[field];
    line.append(...(index ? [" ", part] : [part]));
  });
  return line;
}

/** Clear what was sent; what was typed while it was on its way stays. */
function forget(form, body) {
  for (const field of form.querySelectorAll("input:not([type=hidden]), textarea"))
    if (field.value === body.get(field.name)) field.value = field.defaultValue;
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const body = new FormData(form, event.submitter);
  let problem = "";
  try {
    const address = new URL(form.getAttribute("action") ?? "", location.href); // form.action may be a button
    address.searchParams.set("format", "json");
    const answer = await fetch(address, { method: "POST", body });
    if (answer.ok) {
      forget(form, body);
      settled.forEach((again) => again()); // the session that was missing may have begun
    } else if (answer.headers.get("Content-Type") === "application/json") {
      problem = (await answer.json()).error;
    } else problem = `The server answered ${answer.status}. Reload the page and try again.`;
  } catch {
    problem = "No answer came. It may or may not have been done: look before you try again.";
  }
  form.querySelectorAll(".errorlist").forEach((list) => list.remove());
  let place = form.querySelector(".problem");
  if (place === null) {
    place = document.createElement("p");
    place.className = "problem";
    place.setAttribute("role", "alert");
    form.append(place);
  }
  place.textContent = problem;
}

for (const box of document.querySelectorAll(".lines")) box.scrollTop = box.scrollHeight;
for (const form of document.querySelectorAll("form[data-in-place]")) form.addEventListener("submit", send);
for (const path of new Set([...document.querySelectorAll("[data-live]")].map((one) => one.dataset.live))) {
  show(path, "connecting");
  follow(path);
}
