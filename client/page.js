// What every part of the client uses: what the page says of itself, events, and what may be put into the page.
export const script = document.querySelector("script[data-via-page]"), settings = script.dataset, root = document.documentElement;
const keep = (text) => text, rules = { createHTML: keep, createScript: keep };

/** Trusted Types: all markup of ours goes through the policy `via`. */
export const trusted = globalThis.trustedTypes?.createPolicy("via", rules) ?? rules;

/** False if somebody said that they do it themselves. */
export const emit = (target, name, detail) => target.dispatchEvent(new CustomEvent("via:" + name, { bubbles: true, cancelable: true, detail }));

/** Whether an attribute with this value could run a script. */
export const runs = (name, value) => /^on/i.test(name) || (/^javascript:/i.test(value.replace(/[\0- ]/g, "")) && /(href|src|action|data|to|from|values)$/i.test(name));
