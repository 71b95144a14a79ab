// The client of live pages: this page's nodes, its connection, its forms. No page needs to know more of it than attributes.
import { connect, send, show } from "./connection.js";
import { broadcast, signal } from "./broadcast.js";
import { emit, root, settings } from "./page.js";
import { covers } from "./vector.js";
import { listen, replace } from "./forms.js";
import { watch } from "./morph.js";
import { LONGEST_GHOST, RELOADS } from "./limits.js";
import { add, asked, find, flush, nodes, refused, sweep, take } from "./nodes.js";

const ghosts = new Map(); // element → where the state is that it stands for

const hello = () => ({ hello: settings.viaPage, nodes: asked(nodes()) });

function received({ f, b, no }) {
  if (b) broadcast(b);
  if (no) refused(no[0]);
  if (f) {
    f.forEach(take);
    settle();
  }
}

/** The page is no longer this visitor's, or of another version: it is loaded again once, and not again and again. */
function over(why) {
  try {
    if (!(Date.now() - sessionStorage.via < RELOADS) && emit(document, "reload", { why })) {
      sessionStorage.via = Date.now();
      return location.reload();
    }
  } catch {} // storage is forbidden
  show("stale");
}

/** A ghost goes when the page shows what it stands for. */
function settle() {
  const shown = Object.assign({}, ...nodes().map((node) => node.at));
  for (const [ghost, at] of ghosts) if (covers(shown, at)) ghosts.delete(ghost), ghost.remove();
}

find(root);
connect(hello, received, over);
listen((ghost, at, failed) => {
  if (!ghost) return;
  ghost.dataset.viaGhost = "";
  if (failed) ghost.dataset.viaFailed = "";
  else if (!at) ghost.remove();
  else {
    ghosts.set(ghost, JSON.parse(at));
    setTimeout(() => ghost.remove(), LONGEST_GHOST);
  }
  flush();
  settle();
});
new MutationObserver((records) => {
  const fresh = records.flatMap((record) => [...record.addedNodes]).flatMap((node) => (node.dataset && node.isConnected ? find(node) : []));
  if (fresh.length) add(fresh);
  const gone = sweep();
  if (gone.length) send({ drop: gone });
}).observe(document, { childList: true, subtree: true });

export { replace, signal, watch };
