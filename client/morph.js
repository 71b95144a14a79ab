// Three-way: what the server changed since its last frame is done to the page; what the page, its visitor or an extension changed stays.
//
// A block has a *base*: the server's last frame of it, as a tree that is not in the page. A new frame is compared with the base, never
// with the page, and each difference is done to the base and to the node of the page that is linked to it.
import { emit, runs, trusted } from "./page.js";

const bases = new WeakMap(); // block in the page → its base
const links = new WeakMap(); // node of a base → node in the page
const inert = document.createElement("template").content.ownerDocument;

/** Markup as a tree without scripts; `like` says in which element it is read. */
export function parse(html, like) {
  const root = inert.importNode(like);
  root.innerHTML = trusted.createHTML(html);
  for (const element of root.querySelectorAll("*")) {
    if (element.localName === "script") element.remove();
    for (const { name, value } of [...element.attributes]) if (runs(name, value)) element.removeAttribute(name);
  }
  return root;
}

const childrenOf = (node) => [...node.childNodes];

function link(base, live) {
  links.set(base, live);
  const nodes = live.childNodes;
  base.childNodes.forEach((child, index) => link(child, nodes[index]));
}

// Fields: what a visitor changed is theirs ---------------------------------------------------------------------

/** What a field says: which options are chosen, or its value and whether it is checked. */
const says = (field) => (field.options ? [...field.options].filter((one) => one.selected).map((one) => one.value) : [field.value, field.checked]);

/** A function that, once the markup of the field has changed, has it say what that says, or what the visitor said. */
export function field(base, live) {
  const mine = says(live), was = live.defaultValue;
  const typed = mine + "" !== says(parse(base.outerHTML, document.body).firstChild) + "";
  return () => {
    const { defaultValue } = live;
    if (typed && was !== defaultValue) emit(live, "conflict", { server: defaultValue, mine: live.value });
    for (const option of live.options ?? []) option.selected = typed ? mine.includes(option.value) : option.defaultSelected;
    if (typed) return;
    if (/checkbox|radio/.test(live.type)) live.checked = live.defaultChecked;
    else if (live.value !== defaultValue && defaultValue != null && live.type !== "file") live.value = defaultValue;
  };
}

// Elements -----------------------------------------------------------------------------------------------------

function attributes(base, next, live) {
  const nested = base.hasAttribute("data-via") && base.dataset; // what it shows, and how far that is, is its own
  for (const { name } of [...base.attributes, ...next.attributes]) {
    if (next.getAttribute(name) === base.getAttribute(name)) continue;
    if (name === "srcdoc") throw name; // it takes more than an attribute: the block is made again
    const attribute = next.getAttributeNode(name);
    const put = (element) => (attribute ? element.setAttributeNode(attribute.cloneNode()) : element.removeAttribute(name));
    if (name === "class") {
      for (const one of base.classList) if (!next.classList.contains(one)) live.classList.remove(one);
      for (const one of next.classList) if (!base.classList.contains(one)) live.classList.add(one);
    } else if (!nested || !(name === nested.viaTo || name.startsWith("data-via"))) put(live);
    put(base);
  }
}

/** The page's children become the frame's, whatever they were. */
function rebuild(base, next, live) {
  live.replaceChildren(...childrenOf(document.importNode(next, true)));
  base.replaceChildren(...childrenOf(next.cloneNode(true)));
  link(base, live);
}

function element(base, next, live) {
  if (base.isEqualNode(next)) return;
  if (base.nodeType !== 1) {
    live.data = base.data = next.data;
    return;
  }
  const finish = /^(INPUT|SELECT|TEXTAREA)$/.test(live.nodeName) && field(base, live);
  attributes(base, next, live);
  if (live.isContentEditable && live.innerHTML === base.innerHTML) rebuild(base, next, live);
  else if (live.isContentEditable || base.matches("[data-via],[data-via-keep]")) base.replaceChildren(...childrenOf(next.cloneNode(true)));
  else children(base, next, live);
  if (finish) finish();
}

// Children -----------------------------------------------------------------------------------------------------

/** The children by their key, or else by their markup; the second of those that are alike has a name of its own. */
function named(parent) {
  const seen = {};
  return new Map(
    childrenOf(parent).map((child) => {
      const of = (name) => child.getAttribute?.(name) || "";
      const key = (of("id") || of("data-key") || of("name")) + of("data-via-id");
      const name = key ? child.nodeName + key : child.outerHTML ?? child.nodeType + child.data;
      seen[name] = (seen[name] ?? 0) + 1;
      return [name + " " + seen[name], child];
    }),
  );
}

/** Which child of the base each child of the frame was: by key, then what is equal, then by order. The others go. */
function pair(base, next) {
  const old = named(base), pairs = new Map(), keyless = ([name]) => !/^[a-z]/i.test(name);
  const take = (child, name) => pairs.set(child, old.get(name)) && old.delete(name);
  const wanted = [...named(next)].filter(([name, child]) => !old.has(name) || !take(child, name)).filter(keyless);
  let rest = [...old].filter(keyless);
  for (const [, child] of wanted) {
    const index = rest.findIndex(([, one]) => one.nodeName === child.nodeName);
    if (index < 0) continue;
    take(child, rest[index][0]);
    rest = rest.slice(index + 1);
  }
  old.forEach(gone);
  return pairs;
}

function gone(child) {
  links.get(child)?.remove();
  child.remove();
}

function children(base, next, live) {
  const pairs = pair(base, next), here = (node) => links.get(node)?.parentNode === live;
  let at = base.firstChild, last; // what comes next in the base; the last one of the page that is in its place
  const put = (how, node) => live[how](node, last ? last.nextSibling : here(at) ? links.get(at) : live.firstChild);
  for (const child of childrenOf(next)) {
    let old = pairs.get(child);
    if (old && !here(old) && !old.isEqualNode(child)) {
      // The server changed what a script took away or replaced: what the server says is shown.
      if (old.nodeType !== 1) return rebuild(base, next, live);
      if (at === old) at = old.nextSibling;
      gone(old);
      old = null;
    }
    if (old === at) at = at?.nextSibling;
    else if (old) {
      if (here(old)) put(live.moveBefore ? "moveBefore" : "insertBefore", links.get(old));
      base.insertBefore(old, at);
    }
    if (old) element(old, child, links.get(old));
    else {
      old = child.cloneNode(true);
      const fresh = document.importNode(child, true);
      put("insertBefore", fresh);
      base.insertBefore(old, at);
      link(old, fresh);
    }
    if (here(old)) last = links.get(old);
  }
}

// Blocks -------------------------------------------------------------------------------------------------------

/** What the block shows now is the server's; its next frame is compared with that. */
export function watch(block) {
  const base = inert.importNode(block, true); // there it neither loads pictures nor runs anything
  bases.set(block, base);
  link(base, block);
}

/** Do to the block what the server changed. */
export function paint(block, html) {
  const base = bases.get(block), next = parse(html, block), active = document.activeElement;
  const { selectionStart: start, selectionEnd: end } = active;
  try {
    children(base, next, block);
  } catch {
    rebuild(base, next, block);
  }
  if (active !== document.activeElement && active.isConnected) {
    active.focus({ preventScroll: true });
    if (start != null) active.setSelectionRange(start, end);
  }
}
