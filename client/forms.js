// Forms that stay on the page: the same view, the same POST; its answer is put in place.
import { notice } from "./broadcast.js";
import { paint, parse, watch } from "./morph.js";
import { emit, settings } from "./page.js";

const text = (body) => new URLSearchParams(body) + "";

const newest = new Map(); // form → the last that it has to send, as text and as a function

/** `settled(ghost, at, failed)`: the state is at this position vector, or the form failed. */
export function listen(settled) {
  document.addEventListener("submit", (event) => {
    const { target: form, submitter: button } = event;
    if (event.defaultPrevented || !form.matches("[data-via-form][method=post i]")) return;
    event.preventDefault();
    const body = new FormData(form, button), said = text(body), before = newest.get(form);
    const send = async () => {
      const ghost = line(form, body);
      let unknown = (form.ariaBusy = true);
      form.dataset.viaBusy = "";
      try {
        const url = button?.getAttribute("formaction") ?? form.getAttribute("action") ?? "";
        const answer = await fetch(url, { method: "POST", body, headers: { "X-Via": "form" } }), at = answer.headers.get("X-Via-At");
        const done = answer.redirected || answer.status === 204;
        unknown = answer.status > 499;
        if (answer.redirected && new URL(answer.url).pathname !== location.pathname) return location.assign(answer.url);
        const page = await answer.text();
        // What was sent is no longer a draft; where something was typed since, it is.
        const sent = done && text(new FormData(form, button)) === said;
        if (!replace(form, page) && !done) throw 0;
        settled(ghost, done && at);
        if (sent) form.reset();
        if (done) emit(form, "done", { at });
        else form.querySelector("[aria-invalid=true]")?.focus();
      } catch {
        settled(ghost, null, true);
        if (emit(form, "failed", { unknown })) notice(unknown ? settings.viaUnknown : settings.viaUnsent, "error");
      } finally {
        form.ariaBusy = null;
        delete form.dataset.viaBusy;
        const last = newest.get(form)[1];
        last === send ? newest.delete(form) : last();
      }
    };
    // The same once more is a second click; anything else is sent when the answer is here.
    if (before?.[0] !== said) newest.set(form, [said, send]);
    before ?? send();
  });
}

/** Do to a form what a page has in its place, if it has: that is returned. `tend(found)` may change it first, and say that the form's base stands. */
export function replace(form, page, tend) {
  // Not a DOMParser's document: that has the page's policy, and complains of the answer's nonce.
  const found = parse(page, document.body).querySelector("#" + CSS.escape(form.getAttribute("id")));
  if (found) {
    tend?.(found) || watch(form);
    paint(form, found.innerHTML);
  }
  return found;
}

/** The line that the form's template promises, until the server's is here. */
function line(form, body) {
  const template = form.querySelector("template[data-via-optimistic]");
  const list = template && document.querySelector(template.dataset.viaOptimistic);
  if (!list) return;
  const ghost = document.importNode(template.content, true).firstElementChild;
  for (const slot of ghost.querySelectorAll("[data-via-value]")) slot.textContent = body.get(slot.dataset.viaValue);
  ghost.dataset.viaGhost = "sent";
  list.append(ghost);
  return ghost;
}
