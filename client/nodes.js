// What of this page is live, what it shows, and how far that is.
import { send } from "./connection.js";
import { LONGEST_HOLD } from "./limits.js";
import { field, paint, watch } from "./morph.js";
import { emit, runs, settings } from "./page.js";
import { AHEAD, compare } from "./vector.js";

const all = new Set();
const held = new Map(); // element → its newest frame, while it can't be painted
let composing = null, patience;

addEventListener("compositionstart", ({ target }) => (composing = target), true);
addEventListener("compositionend", () => ((composing = null), flush()), true);

export const nodes = () => [...all];
const mark = (node, name, value = "") => node.elements.forEach((element) => (element.dataset[name] = value));

/** Take note of the live places in a part of the page; those that are new. */
export function find(root) {
  const fresh = [];
  for (const element of [root, ...root.querySelectorAll("[data-via]")])
    try {
      const { via: token, viaId: id, viaAt } = element.dataset;
      if (!token) continue;
      const node = nodes().find((one) => one.token === token) ?? { token, id, elements: new Set() };
      if (node.elements.has(element)) continue;
      // A new one, or another place of a known one that does not show the same.
      if (JSON.stringify(node.at) !== viaAt) {
        node.at = JSON.parse(viaAt);
        all.add(node);
        fresh.push(node);
      }
      node.elements.add(element);
      watch(element);
    } catch {} // somebody's markup that only looks like a node, or breaks its form
  return fresh;
}

/** Forget the places that are no longer in the page; the ids of the nodes that have none left. */
export function sweep() {
  const gone = new Set();
  for (const node of nodes()) {
    for (const element of node.elements) if (!element.isConnected) node.elements.delete(element);
    if (!node.elements.size) all.delete(node), gone.add(node.id);
  }
  for (const node of nodes()) gone.delete(node.id);
  return [...gone];
}

/** A token that ends like this is not served. */
export function refused(end) {
  for (const node of nodes()) if (node.token.endsWith(end)) mark(node, "viaStale");
}

/** What the server is asked for these nodes. */
export const asked = (some) => some.map(({ token, at, etag }) => (etag ? [token, at, etag] : [token, at]));
export const add = (some) => send({ add: asked(some) });

/** A frame. */
export function take([id, at, kind, ...rest]) {
  for (const node of nodes())
    try {
      if (node.id === id) news(node, at, kind, rest);
    } catch {
      mark(node, "viaStale"); // somebody's markup that only looks like a node
    }
}

/** Have the server look again at what it sent: it is older than what is shown, or builds on what is not here. */
function again(node, at) {
  if (!node.asked) add([{ ...node, at }]);
  node.asked = true;
}

function news(node, at, kind, rest) {
  if (kind === "r") node.at = {};
  if (kind === "s") mark(node, "viaStale");
  if (kind === "k") mark(node, "via", (node.token = rest[0]));
  if (kind === "x") {
    all.delete(node);
    for (const element of node.elements) {
      element.dataset.viaGone = rest[0];
      put(element, null);
      emit(element, "gone", { why: rest[0] });
    }
  }
  if (!"thd=".includes(kind)) return;
  if (compare(node.at, at) === AHEAD) return again(node, node.at);
  if (kind === "d") {
    const [base, head, tail, middle, etag] = rest, { html } = node;
    if (!html || node.etag !== base) return again(node, {});
    rest = [html.slice(0, head) + middle + html.slice(html.length - tail), etag];
  }
  node.at = at;
  node.asked = false;
  if (rest[1]) [node.html, node.etag] = rest;
  for (const element of node.elements) {
    delete element.dataset.viaStale;
    element.dataset.viaAt = JSON.stringify(at);
    const frame = [element, rest[0], at, !!rest[1]];
    // Where somebody composes a character, or a line waits for its answer, the newest frame waits as well.
    if (kind === "=") continue;
    if (element.contains(composing) || element.querySelector("[data-via-ghost=sent]")) {
      patience ??= setTimeout(flush, LONGEST_HOLD);
      held.set(element, frame);
    } else put(...frame);
  }
}

/** Paint what was held. */
export function flush() {
  patience = clearTimeout(patience);
  for (const frame of held.values()) put(...frame);
  held.clear();
}

function put(element, content, at, block) {
  if (at && !emit(element, "before", { at })) return;
  const { viaTo: to = "text" } = element.dataset;
  if (block) paint(element, content.replaceAll('"via-csrf"', `"${settings.viaCsrf}"`));
  else if (to === "text") {
    if (element.textContent !== content) element.textContent = content;
  } else if (content === null) element.removeAttribute(to);
  else if (!runs(to, content) && to !== "srcdoc") {
    const finish = to === "value" && field(element, element);
    element.setAttribute(to, content);
    if (finish) finish();
  }
  if (!at) return;
  emit(element, "painted", { at });
  if (!element.matches("output,[aria-live],[role=status]")) return;
  // What changes quickly is read out when it rests.
  if (element.viaRest) element.ariaBusy = true;
  clearTimeout(element.viaRest);
  element.viaRest = setTimeout(() => (element.viaRest = element.ariaBusy = null), 1000);
}
