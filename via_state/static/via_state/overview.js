// Looks again every few seconds while somebody may be looking: not in a hidden tab, while text is selected, or while a link has the focus.
// And three keys, which can be turned off: a single letter may be a word that somebody dictates (WCAG 2.2, 2.1.4).
const EVERY = 5000;
const PATIENCE = 20000;
const OFF = "via-keys-off";
const part = (page) => page.getElementById("via-overview");
const [keys, help, said] = ["via-keys", "via-help", "via-said"].map((id) => document.getElementById(id));
let under = false, wanted = false;

/** `now`: somebody wants it, whatever has the focus. */
async function refresh(now) {
  const shown = part(document), { activeElement } = document;
  wanted ||= under && now; // what is under way may show what was before
  if (under || document.hidden || (!now && (shown.dataset.still != null || !getSelection().isCollapsed || shown.contains(activeElement)))) return;
  under = true;
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const href = shown.contains(activeElement) && activeElement.getAttribute("href");
    shown.replaceWith(document.adoptNode(part(page)));
    if (href !== false) [...part(document).querySelectorAll("a")].find((link) => link.getAttribute("href") === href)?.focus();
    if (now) said.textContent = `Looked again at ${new Date().toLocaleTimeString()}.`;
  } catch {
    document.getElementById("via-old").hidden = false;
  }
  under = false;
  if (wanted) refresh(!(wanted = false));
}

setInterval(refresh, EVERY, false);
document.addEventListener("visibilitychange", () => refresh(false));

/** Storage may be forbidden: the keys are then on in each page. */
function stored(value) {
  try {
    if (value === undefined) return localStorage.getItem(OFF);
    localStorage.setItem(OFF, value);
  } catch {
    return "";
  }
}

const choice = keys.querySelector("input");
choice.checked = !stored();
choice.addEventListener("change", () => stored(choice.checked ? "" : "1"));
help.hidden = false;
help.addEventListener("click", () => keys.showModal());
const meant = {
  "/": () => document.getElementById("via-search").focus(),
  r: () => refresh(true),
  "?": () => keys.showModal(),
};
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  const typing = target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.nodeName);
  if (!choice.checked || typing || keys.open || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || !Object.hasOwn(meant, key)) return;
  event.preventDefault();
  meant[key]();
});
