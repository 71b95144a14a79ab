// Forms that stay on the page: the same view, the same POST; its answer is put in place.
import { paint, parse, watch } from "./morph.js";
import { emit } from "./page.js";

const text = (body) => new URLSearchParams(body) + "";

/** `settled(ghost, at, failed)`: the state is at this position vector; `failed(unknown)`: not sent, or perhaps. */
export function listen(settled, failed) {
  document.addEventListener("submit", (event) => {
    const { target: form, submitter: button } = event;
    if (event.defaultPrevented || !form.matches("[data-via-form][method=post i]")) return;
    event.preventDefault();
    if (!form.ariaBusy) submit(form, button, settled, failed);
  });
}

async function submit(form, button, settled, failed) {
  const body = new FormData(form, button), ghost = line(form, body), busy = (on) => (form.toggleAttribute("data-via-busy", !!on), (form.ariaBusy = on));
  let unknown = true;
  busy("true");
  try {
    const url = button?.getAttribute("formaction") ?? form.getAttribute("action") ?? "";
    const answer = await fetch(url, { method: "POST", body, headers: { "X-Via": "form" } }), at = answer.headers.get("X-Via-At");
    const done = answer.redirected || answer.status === 204;
    unknown = answer.status > 499;
    if (answer.redirected && new URL(answer.url).pathname !== location.pathname) return location.assign(answer.url);
    // Not a DOMParser's document: that has the page's policy, and complains of the answer's nonce.
    const found = parse(await answer.text(), document.body).querySelector("#" + CSS.escape(form.getAttribute("id")));
    if (!found && !done) throw 0;
    // What was sent is no longer a draft; where something was typed since, it is.
    const sent = done && text(new FormData(form, button)) === text(body);
    settled(ghost, done && at);
    if (found) {
      watch(form);
      paint(form, found.innerHTML);
    }
    if (sent) form.reset();
    if (done) emit(form, "done", { at });
    else form.querySelector("[aria-invalid=true]")?.focus();
  } catch {
    settled(ghost, null, true);
    if (emit(form, "failed", { unknown })) failed(unknown);
  } finally {
    busy(null);
  }
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
