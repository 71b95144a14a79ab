// Looks again every few seconds while somebody may be looking: not in a hidden tab, while text is selected, or while a link has the focus.
const EVERY = 5000;
const PATIENCE = 20000;
const part = (page) => page.getElementById("via-overview");
let under = false;

async function refresh() {
  const shown = part(document);
  if (under || document.hidden || !getSelection().isCollapsed || shown.contains(document.activeElement)) return;
  under = true;
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    shown.replaceWith(document.adoptNode(part(page)));
  } catch {
    document.getElementById("via-old").hidden = false;
  }
  under = false;
}

setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);
