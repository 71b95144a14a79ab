// One socket for the page: opens it, notices when it is dead, and comes back by itself. Every state has a timer out of it.
import { ASLEEP, FIRST, GRACE, LONGEST, PATIENCE, QUIET, SOCKETS_AGAIN, STABLE } from "./limits.js";
import { emit, root, settings } from "./page.js";

let hello, received, ended; // what the page gave
let socket, next; // the one that is in use; the one that is being opened
let timer, grace, dead, nap, since;
let tries = 0, unopened = 0, count = 0, bytes = 0, spread = 5000;
const url = new URL(settings.viaUrl, location).href;

/** Connect, and stay connected. `begin()` is said at the beginning, `take(message)` gets what is received, `end(why)` the end for good. */
export function connect(begin, take, end) {
  [hello, received, ended] = [begin, take, end];
  for (const name of ["online", "offline", "pageshow", "resume"]) addEventListener(name, look, true); // that one does not bubble
  addEventListener("pagehide", sleep);
  addEventListener("visibilitychange", () => {
    clearTimeout(nap);
    if (!document.hidden) look();
    else if (settings.viaSleep) nap = setTimeout(sleep, 1000 * settings.viaSleep);
  }, true);
  again(0);
}

export const send = (message, to = next?.readyState ? next : socket) => to?.send(JSON.stringify(message));

export function show(state) {
  grace = clearTimeout(grace);
  if (state === root.dataset.viaConnection) return;
  root.dataset.viaConnection = state;
  emit(root, "connection", { state });
}

function open() {
  if (settings.viaPoll && unopened++ % SOCKETS_AGAIN > 2) return ask();
  next?.close(ASLEEP);
  const opened = (next = new WebSocket(url.replace("http", "ws"), ["via.1"]));
  watchdog(QUIET);
  opened.onopen = () => {
    unopened = 0;
    send(hello(), opened);
  };
  opened.onmessage = ({ data }) => {
    if (opened === next) {
      // Welcomed: the one before it is not needed any more.
      socket?.close(ASLEEP);
      [socket, next, count, bytes, since] = [opened, null, 0, 0, Date.now()];
    }
    if (opened !== socket) return;
    heard(data);
    bytes += data.length;
    if (++count % 16 && bytes < 65536) return;
    bytes = 0;
    send({ ack: count }, socket);
  };
  opened.onclose = () => {
    if (opened === next) next = null;
    else if (opened === socket) socket = null;
    else return;
    if (!next) again();
  };
}

function heard(data) {
  show("online");
  watchdog(QUIET);
  for (const line of data.split("\n")) {
    if (!line) continue;
    const message = JSON.parse(line), { hi, bye } = message;
    if (hi) {
      spread = hi.spread;
      settings.viaPage = hi.page ?? settings.viaPage;
    }
    received(message);
    if (bye?.why === "drain") again(bye.in);
    else if (bye) {
      sleep();
      setTimeout(ended, bye.in, bye.why);
    }
  }
}

/** Unless something is heard. */
function watchdog(milliseconds) {
  clearTimeout(dead);
  dead = setTimeout(() => (sleep(), again()), milliseconds);
}

/** Open another one: at random within what the server said, then longer and longer. Also while one is still in use. */
function again(within) {
  if (Date.now() - since > STABLE) tries = 0;
  since = NaN;
  if (!socket) grace ??= setTimeout(() => show(navigator.onLine ? "connecting" : "offline"), GRACE);
  within ??= tries ? Math.min(LONGEST, FIRST * 2 ** tries) : spread;
  tries++;
  clearTimeout(timer);
  timer = setTimeout(open, Math.random() * within);
}

/** Something happened that may have cut the socket, or woken the page. */
function look() {
  if (socket) {
    send({ ping: 1 }, socket);
    watchdog(PATIENCE);
  } else if (!next && !document.hidden) again(0);
}

/** Without a socket: the same question and the same answer, now and then. */
async function ask() {
  try {
    if (!document.hidden) {
      const answer = await fetch(url, { method: "POST", body: JSON.stringify(hello()) });
      if (!answer.ok) throw 0;
      heard(await answer.text());
      clearTimeout(dead);
    }
    timer = setTimeout(open, settings.viaPoll * (750 + Math.random() * 500));
  } catch {
    // It is not only the socket that fails.
    unopened = 0;
    again();
  }
}

/** Close, until something happens. */
function sleep() {
  clearTimeout(dead);
  clearTimeout(timer);
  next?.close(ASLEEP);
  socket?.close(ASLEEP);
  socket = next = null;
}
