// What is said to pages at once and kept nowhere: notices, signals, scripts.
import { emit, script, settings, trusted } from "./page.js";

const signals = new Map();
export const signal = (name) => signals.get(name);

export function broadcast({ kind, text, level, values, code }) {
  if (kind === "notify" && emit(document, "notify", { text, level })) notice(text, level);
  if (kind === "signals")
    for (const [name, value] of Object.entries(values)) {
      signals.set(name, value);
      for (const element of document.querySelectorAll("[data-via-signal]")) if (element.dataset.viaSignal === name) element.textContent = value;
      emit(document, "signal", { name, value });
    }
  if (kind === "script" && settings.viaScripts) {
    const element = document.createElement("script");
    element.nonce = script.nonce;
    element.textContent = trusted.createScript(code);
    document.head.append(element);
    element.remove();
  }
}

// A region that is made when it is first needed is often not read out: these are there from the start.
const [status, alert] = ["status", "alert"].map((role) => {
  const region = document.createElement("div");
  region.dataset.viaToasts = region.role = role;
  return region;
});
document.body.append(status, alert);

export function notice(text, level = "info") {
  const line = document.createElement("p");
  line.textContent = text;
  line.dataset.level = level;
  (level === "error" ? alert : status).append(line);
  setTimeout(() => line.remove(), 6000);
}
