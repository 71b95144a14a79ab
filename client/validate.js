// Says what is wrong with a form while somebody fills it in: the form's own view is asked, by a request that changes nothing.
const PAUSE = 300;
const FORMS = "form[data-via-form][data-via-validate][id]";
const tag = (name) => document.querySelector(`script[data-via-${name}]`);
const { viaHeader } = tag("header").dataset;
const { replace, watch } = await import(tag("page").src); // the one that the page has, which is not loaded again

/** What is known of a form: its fields that were typed in, what was asked last. What the server wrote is what it has when we first see it. */
const drafts = new WeakMap();
function draft(form) {
  if (!drafts.has(form)) {
    drafts.set(form, { touched: new Set() });
    watch(form);
  }
  return drafts.get(form);
}

/** Whether the server may see it before the form is sent: no file, and a password only where the form names it. */
const shown = ({ name, type, form }) =>
  name && type !== "file" && (type !== "password" || form.dataset.viaValidate.split(" ").includes(name));

function stop(form) {
  const { timer, flight } = draft(form);
  clearTimeout(timer);
  flight?.abort();
}

function later(form) {
  stop(form); // what is under way is about a text that has changed since
  draft(form).timer = setTimeout(ask, PAUSE, form);
}

async function ask(form) {
  const known = draft(form), { touched } = known, { elements, dataset } = form;
  if (known.mute || !form.isConnected || !navigator.onLine) return;
  if (dataset.viaBusy != null) return later(form);
  // What a refused form says of a field stays until that is right.
  for (const field of elements) if (field.ariaInvalid === "true" && shown(field)) touched.add(field.name);
  const hidden = [...elements].filter((field) => !shown(field)).map((field) => field.name);
  const entries = [...new FormData(form)].filter(([name, value]) => !hidden.includes(name) && value.replace);
  const body = new URLSearchParams(entries.map(([name, value]) => [name, value.replace(/\r?\n/g, "\r\n")])); // as a form sends it
  const names = [...touched].map(encodeURIComponent), asked = names + "&" + body;
  if (asked === known.asked) return;
  known.asked = asked;
  const { signal } = (known.flight = new AbortController());
  try {
    const headers = { "X-Via": "validate; " + names, [viaHeader]: elements.csrfmiddlewaretoken?.value ?? "" };
    // No other method: a view that does not know of this request must not take it for one that sends the form.
    const request = { method: "QUERY", body, headers, signal, mode: "same-origin", redirect: "error" };
    const answer = await fetch(form.getAttribute("action") ?? "", request), page = await answer.text(), before = described(form);
    if (signal.aborted) return;
    if (!replace(form, page, (found) => keep(form, found))) known.mute = answer.status < 500; // this view does not take it
    region.textContent = described(form).filter((text) => text && !before.includes(text)).join(" ");
    form.dispatchEvent(new CustomEvent("via:validated", { bubbles: true }));
  } catch {
    known.asked = null;
  }
}

/** What a field begins with, and is reset to, stays the page's: what was typed is not that. True if the form's base stands. */
function keep(form, found) {
  for (const field of found.querySelectorAll("input,select,textarea")) {
    const alike = (one) => one.name === field.name && one.type === field.type && (!/radio|checkbox/.test(one.type) || one.value === field.value);
    const mine = [...form.elements].find(alike);
    for (const name of mine ? ["defaultValue", "defaultChecked"] : []) if (field[name] !== mine[name]) field[name] = mine[name];
    for (const option of field.options ?? []) option.defaultSelected = [...(mine?.options ?? [])].find(({ value }) => value === option.value)?.defaultSelected;
  }
  return !form.closest("[data-via]"); // there, frames change what the server wrote
}

// What is written beside a field is read out when its visitor rests. A region that is made when it is first needed is often not.
const region = document.createElement("div");
region.role = "status";
region.style.cssText = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap";
document.body.append(region);

const described = (form) =>
  [...form.elements].flatMap((field) => (field.getAttribute("aria-describedby") ?? "").split(" ")).map((id) => document.getElementById(id)?.textContent.trim());

for (const name of ["input", "compositionend"])
  addEventListener(name, ({ target, isComposing }) => {
    const { form } = target;
    if (!form?.matches(FORMS) || !shown(target)) return;
    draft(form).touched.add(target.name);
    isComposing ? stop(form) : later(form);
  });
for (const name of ["submit", "reset", "via:done"])
  addEventListener(name, ({ target }) => {
    if (!target.matches(FORMS)) return;
    stop(target);
    if (name !== "submit") draft(target).touched.clear();
  }, true);
addEventListener("online", () => document.querySelectorAll(FORMS).forEach((form) => draft(form).touched.size && later(form)));
document.querySelectorAll(FORMS).forEach(draft);
