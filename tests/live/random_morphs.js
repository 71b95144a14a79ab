// Random frames with random changes by scripts between them: what is the server's is always the last frame.
(seed) => {
  const { watch, paint, trusted } = window.client;
  let state = seed;
  const random = (n) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return (state >>> 8) % n; };
  const tags = ["p", "div", "b", "ul", "input", "textarea", "select"];
  const text = () => ["x", "y", "z", " ", "\n"][random(5)] + random(4);
  const tree = (depth) => {
    let out = "", adjacent = false;
    for (let n = random(5); n > 0; n--) {
      if (!adjacent && random(3) === 0) { out += text(); adjacent = true; continue; }
      adjacent = false;
      const tag = tags[random(depth ? 7 : 3)], key = random(2) ? ` id="k${random(6)}"` : "", more = random(2) ? ` class="c${random(3)}"` : "", own = random(3) ? "" : ` title="t${random(3)}"`;
      if (tag === "input") out += `<input${key}${more} value="v${random(3)}">`;
      else if (tag === "textarea") out += `<textarea${key}${own}>a${random(3)}</textarea>`;
      else if (tag === "select") out += `<select${key}>${["a", "b"].map((o) => `<option${random(2) ? " selected" : ""}>${o}</option>`).join("")}</select>`;
      else out += tag === "p" ? `<p${key}${more}${own}>${random(9)}</p>` : `<${tag}${key}${more}${own}>${depth ? tree(depth - 1) : random(5)}</${tag}>`;
    }
    return out;
  };
  const box = document.createElement("div");
  document.body.append(box);
  const any = () => { const all = [...box.querySelectorAll("*")].filter((e) => !e.dataset.ours && !/^(OPTION|SELECT|TEXTAREA|INPUT)$/.test(e.nodeName)); return all[random(all.length || 1)] ?? box; };
  const meddle = () => {
    const element = any();
    switch (random(6)) {
      case 0: element.classList.add("js-" + random(3)); break;
      case 1: element.setAttribute("aria-" + ["busy", "label"][random(2)], random(9)); break;
      case 2: { const span = document.createElement("span"); span.dataset.ours = 1; span.textContent = "ours"; element.prepend(span); break; }
      case 3: { const span = document.createElement("span"); span.dataset.ours = 1; element.append(span); break; }
      case 4: { const span = document.createElement("span"); span.dataset.ours = 1; element !== box && element.after(span); break; }
      case 5: for (const field of box.querySelectorAll("input,textarea")) if (random(3) === 0) field.value = "typed";
    }
  };
  const served = () => {
    const copy = box.cloneNode(true);
    for (const ours of copy.querySelectorAll("[data-ours]")) ours.remove();
    for (const element of copy.querySelectorAll("*")) {
      for (const one of [...element.classList]) if (one.startsWith("js-")) element.classList.remove(one);
      for (const { name } of [...element.attributes]) if (name.startsWith("aria-") || (name === "class" && !element.className)) element.removeAttribute(name);
    }
    const plain = document.createElement("div");
    plain.append(...copy.childNodes);
    plain.normalize();
    return plain;
  };
  const frame = (html) => { const root = document.createElement("div"); root.innerHTML = trusted.createHTML(html); root.normalize(); return root; };
  box.innerHTML = trusted.createHTML(tree(3));
  watch(box);
  for (let round = 0; round < 12; round++) {
    for (let n = random(6); n > 0; n--) meddle();
    const ours = [...box.querySelectorAll("[data-ours]")].filter((one) => one.parentNode === box);
    const next = tree(3);
    paint(box, next);
    if (!served().isEqualNode(frame(next))) return { seed, round, next: frame(next).innerHTML, served: served().innerHTML };
    if (ours.some((one) => !one.isConnected)) return { seed, round, lost: true };
    for (const field of box.querySelectorAll("input")) if (field.value !== "typed" && field.value !== field.defaultValue) return { seed, round, field: field.outerHTML, value: field.value };
  }
  box.remove();
  return null;
}
