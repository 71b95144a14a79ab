// The cases of the three-way morph. Each is [name, function]; a function returns true, or what it found instead.
(() => {
  const { watch, paint, emit } = window.client;
  const box = document.createElement("div");
  document.body.append(box);
  const html = (text) => window.client.trusted.createHTML(text);
  const set = (text) => { box.innerHTML = html(text); watch(box); };
  const get = (id) => document.getElementById(id);
  const li = (key, text = key) => `<li id="${key}">${text}</li>`;
  const list = (keys) => `<ul>${keys.map((key) => li(key)).join("")}</ul>`;
  const all = (...facts) => facts.every((fact) => fact === true) || JSON.stringify(facts) + box.innerHTML;
  const listen = (name) => { const heard = []; box.addEventListener("via:" + name, (event) => heard.push(event.detail)); return heard; };
  const cases = {
    "a reversed list keeps its nodes"() {
      set(list(["a", "b", "c", "d"]));
      const had = ["a", "b", "c", "d"].map(get);
      paint(box, list(["d", "c", "b", "a"]));
      return all(box.innerHTML === list(["d", "c", "b", "a"]), ["a", "b", "c", "d"].every((key, index) => get(key) === had[index]));
    },
    "a removal keeps the rest"() {
      set(list(["a", "b", "c"]));
      const c = get("c");
      paint(box, list(["b", "c"]));
      return all(get("c") === c, box.innerHTML === list(["b", "c"]));
    },
    "focus and selection stay when a sibling appears before a field with an id"() {
      set('<form><input id="f" name="x"></form>');
      const f = get("f");
      f.focus(); f.value = "abc"; f.setSelectionRange(1, 2);
      paint(box, '<form><p>error</p><input id="f" name="x"></form>');
      return all(document.activeElement === f, f.value === "abc", f.selectionStart === 1, f.selectionEnd === 2);
    },
    "focus and selection stay when a sibling appears before a field without an id"() {
      set("<form><input></form>");
      const f = box.querySelector("input");
      f.focus(); f.value = "abc"; f.setSelectionRange(1, 2);
      paint(box, "<form><p>error</p><input></form>");
      return all(document.activeElement === f, f.value === "abc", f.selectionStart === 1);
    },
    "a focused field that moves keeps focus and text"() {
      const row = (key) => `<li id="r${key}"><input id="i${key}"></li>`;
      set(`<ul>${[1, 2, 3].map(row).join("")}</ul>`);
      const f = get("i3");
      f.focus(); f.value = "typing"; f.setSelectionRange(2, 4);
      paint(box, `<ul>${[3, 1, 2].map(row).join("")}</ul>`);
      return all(document.activeElement === f, f.value === "typing", f.selectionStart === 2);
    },
    "a draft stays in a field without focus"() {
      set('<form><input id="f" value=""><b>1</b></form>');
      get("f").value = "draft"; document.activeElement.blur();
      paint(box, '<form><input id="f" value=""><b>2</b></form>');
      return all(get("f").value === "draft", box.querySelector("b").textContent === "2");
    },
    "a draft stays though the server's value changes, and that is told"() {
      set('<input id="f" value="old">');
      const told = listen("conflict");
      get("f").focus(); get("f").value = "mine";
      paint(box, '<input id="f" value="server">');
      return all(get("f").value === "mine", get("f").defaultValue === "server", JSON.stringify(told) === '[{"server":"server","mine":"mine"}]');
    },
    "a field that nobody touched follows the server"() {
      set('<input id="f" value="old"><textarea id="t">old</textarea><input id="c" type="checkbox"><input id="n" type="color" value="#00FF00">');
      paint(box, '<input id="f" value="new"><textarea id="t">new</textarea><input id="c" type="checkbox" checked><input id="n" type="color" value="#FF0000">');
      return all(get("f").value === "new", get("t").value === "new", get("c").checked, get("n").value === "#ff0000", !get("c").hasAttribute("value"));
    },
    "the server clears a field it owns, also one that it had filled before"() {
      set('<input id="f">');
      paint(box, '<input id="f" value="x">'); paint(box, '<input id="f" value="">'); paint(box, '<input id="f" value="y">'); paint(box, '<input id="f">');
      return all(get("f").value === "");
    },
    "a checkbox that the visitor checked stays"() {
      set('<input type="checkbox" id="f"><b>1</b>');
      get("f").checked = true;
      paint(box, '<input type="checkbox" id="f" class="x"><b>2</b>');
      return all(get("f").checked, get("f").className === "x");
    },
    "of several boxes with one name each keeps its own"() {
      const boxes = (more) => `<p>${["a", "b", "c"].map((value) => `<input type="checkbox" name="tag" value="${value}">`).join("")}${more}</p>`;
      set(boxes(""));
      const second = box.querySelectorAll("input")[1];
      second.checked = true;
      paint(box, boxes("<i>!</i>"));
      return all(box.querySelectorAll("input")[1] === second, second.checked, box.querySelectorAll("input").length === 3);
    },
    "an opened details stays open"() {
      set('<details id="d"><summary>s</summary>1</details>');
      get("d").open = true;
      paint(box, '<details id="d"><summary>s</summary>2</details>');
      return all(get("d").open, get("d").textContent === "s2");
    },
    "an opened dialog stays open"() {
      set('<dialog id="d">1</dialog>');
      get("d").showModal();
      paint(box, '<dialog id="d">2</dialog>');
      const found = all(get("d").open, get("d").matches(":modal"), get("d").textContent === "2");
      get("d").close();
      return found;
    },
    "a draft in a textarea stays"() {
      set('<textarea id="f"></textarea><b>1</b>');
      const f = get("f");
      f.focus(); f.value = "draft"; f.setSelectionRange(3, 3);
      paint(box, '<textarea id="f">server</textarea><b>2</b>');
      return all(f.isConnected, f.value === "draft", f.selectionStart === 3, f.defaultValue === "server");
    },
    "a choice stays, and one that nobody made follows the server"() {
      const select = (chosen, more = "") => `<select id="s">${["a", "b", "c"].map((one) => `<option${one === chosen ? " selected" : ""}>${one}</option>`).join("")}</select>${more}`;
      set(select("a"));
      paint(box, select("b"));
      const followed = get("s").value === "b";
      get("s").value = "c";
      paint(box, select("a"));
      return all(followed, get("s").value === "c");
    },
    "several choices stay"() {
      const select = (chosen) => `<select id="s" multiple>${["a", "b", "c"].map((one) => `<option${chosen.includes(one) ? " selected" : ""}>${one}</option>`).join("")}</select>`;
      const chosen = () => [...get("s").selectedOptions].map((one) => one.value).join();
      set(select("a"));
      paint(box, select("ab"));
      const followed = chosen() === "a,b";
      get("s").options[0].selected = false; get("s").options[2].selected = true;
      paint(box, select("a"));
      return all(followed, chosen() === "b,c");
    },
    "what is written in an editable element stays, and is the server's until then"() {
      set('<div id="e" contenteditable>one</div>');
      paint(box, '<div id="e" contenteditable>two</div>');
      const followed = get("e").textContent === "two";
      get("e").textContent = "mine";
      paint(box, '<div id="e" contenteditable>three</div>');
      const kept = get("e").textContent === "mine";
      paint(box, '<div id="e" contenteditable>mine</div>'); paint(box, '<div id="e" contenteditable>four</div>');
      return all(followed, kept, get("e").textContent === "four");
    },
    "a moved iframe is not loaded again"() {
      set('<ul><li id="a">a</li><li id="b"><iframe id="fr" srcdoc="x"></iframe></li></ul>');
      const frame = get("fr"), inside = frame.contentWindow;
      paint(box, '<ul><li id="b"><iframe id="fr" srcdoc="x"></iframe></li><li id="a">a</li></ul>');
      return all(get("fr") === frame, frame.contentWindow === inside);
    },
    "the document of an iframe can change"() {
      set('<p><iframe id="fr" srcdoc="x"></iframe></p>');
      paint(box, '<p><iframe id="fr" srcdoc="y"></iframe></p>');
      return all(get("fr").getAttribute("srcdoc") === "y");
    },
    "a list stays scrolled"() {
      const lines = (count) => `<div id="sc"><ul>${[...Array(count).keys()].map((n) => li("x" + n)).join("")}</ul></div>`;
      set(lines(50));
      get("sc").style.cssText = "height:50px;overflow:auto"; get("sc").scrollTop = 200;
      paint(box, lines(51));
      return all(get("sc").scrollTop === 200);
    },
    "a script in a frame does not run, nor does what looks like an attribute of one"() {
      window.ran = 0;
      set("<div></div>");
      paint(box, '<div><script>window.ran=1<\/script><img id="i" onerror="window.ran=2"><a id="a" href=" java&#10;script:window.ran=3">x</a><svg><script>window.ran=4<\/script><a xlink:href="javascript:1">y</a></svg><form action="javascript:window.ran=5"><button formaction="JAVASCRIPT:1">z</button></form></div>');
      return all(window.ran === 0, !box.querySelector("script"), !get("i").hasAttribute("onerror"), !get("a").hasAttribute("href"), !/javascript/i.test(box.innerHTML));
    },
    "a text that names a scheme is a text"() {
      set('<input id="i" value="">');
      paint(box, '<input id="i" value="javascript: the good parts" title="javascript:">');
      return all(get("i").value === "javascript: the good parts", get("i").title === "javascript:");
    },
    "rows are rows without a table around them"() {
      const table = document.createElement("table");
      table.innerHTML = html('<tbody id="tb"><tr id="r1"><td>1</td></tr></tbody>');
      box.replaceChildren(table);
      watch(get("tb"));
      const row = get("r1");
      paint(get("tb"), '<tr id="r1"><td>2</td></tr><tr id="r2"><td>3</td></tr>');
      return all(get("tb").rows.length === 2, get("r1") === row, row.textContent === "2");
    },
    "a drawing is a drawing"() {
      box.innerHTML = html('<svg><g id="g"><circle r="1"></circle></g></svg>');
      watch(get("g"));
      paint(get("g"), '<circle r="2"></circle><a xlink:href="#x"><text>t</text></a>');
      return all(get("g").firstChild instanceof SVGCircleElement, get("g").firstChild.getAttribute("r") === "2", get("g").lastChild.href.baseVal === "#x");
    },
    "what a script added survives: a class, an attribute, a node"() {
      set('<div><i id="p" class="a b">1</i><b>1</b></div>');
      const p = get("p"), widget = document.createElement("span");
      p.classList.add("js"); p.setAttribute("aria-expanded", "true"); p.after(widget);
      paint(box, '<div><i id="p" class="b c">2</i><b>2</b></div>');
      return all(p.className === "b js c", p.getAttribute("aria-expanded") === "true", widget.isConnected, p.textContent === "2", widget.previousSibling === p);
    },
    "a node that an extension put first stays first"() {
      set("<p>1</p>");
      const extension = document.createElement("grammarly-extension");
      box.prepend(extension);
      paint(box, "<h2>0</h2><p>2</p>");
      return all(box.firstChild === extension, box.children[1].textContent === "0", box.children[2].textContent === "2", box.children.length === 3);
    },
    "what a translation replaced is the server's again when the server changes it"() {
      set("<p>one</p><p>two</p>");
      for (const p of box.children) { const font = document.createElement("font"); font.textContent = "eins"; p.replaceChildren(font); }
      paint(box, "<p>one</p><p>three</p>");
      return all(box.children[0].textContent === "eins", box.children[1].textContent === "three");
    },
    "what a script took away comes back when the server changes it"() {
      set('<ul><li id="a">1</li><li id="b">2</li></ul>');
      get("a").remove();
      paint(box, '<ul><li id="a">1</li><li id="b">3</li></ul>');
      const away = !get("a");
      paint(box, '<ul><li id="a">4</li><li id="b">3</li></ul>');
      return all(away, box.querySelector("ul").innerHTML === '<li id="a">4</li><li id="b">3</li>');
    },
    "two elements with one id are two elements"() {
      set('<p id="x">1</p><p id="x">2</p>');
      const [first, second] = box.children;
      paint(box, '<p id="x">3</p><p id="x">4</p>');
      const kept = box.children[0] === first && box.children[1] === second;
      paint(box, '<p id="x">4</p>');
      return all(kept, box.innerHTML === '<p id="x">4</p>');
    },
    "a line that is added first to a list without keys leaves the others alone"() {
      set("<ol><li>1</li><li>2</li><li>3</li></ol>");
      const had = [...box.querySelectorAll("li")];
      paint(box, "<ol><li>0</li><li>1</li><li>2</li><li>3</li></ol>");
      return all(box.textContent === "0123", had.every((one, index) => box.querySelectorAll("li")[index + 1] === one));
    },
    "a nested node is its own"() {
      const inner = (at, content) => `<p>1</p><div data-via="t" data-via-id="n" data-via-at="${at}" class="k">${content}</div>`;
      set(inner("{}", "<b>shown</b>"));
      const nested = box.querySelector("div");
      nested.dataset.viaAt = "newer";
      paint(box, inner("old", "").replace("<p>1", "<p>2").replace('class="k"', 'class="l"'));
      return all(box.querySelector("div") === nested, nested.innerHTML === "<b>shown</b>", nested.dataset.viaAt === "newer", nested.className === "l", box.textContent === "2shown");
    },
    "the live attribute of a nested node is its own"() {
      set('<i data-via="t" data-via-id="n" data-via-to="title" class="k" title="4"></i>');
      paint(box, '<i data-via="u" data-via-id="n" data-via-to="title" class="l"></i>');
      return all(box.firstChild.title === "4", box.firstChild.className === "l", box.firstChild.dataset.via === "t");
    },
    "another node in the same place is another element"() {
      set('<div data-via="t" data-via-id="n">old</div>');
      paint(box, '<div data-via="u" data-via-id="m"></div>');
      return all(box.children.length === 1, box.firstChild.dataset.via === "u", box.textContent === "");
    },
    "what is to be kept is kept"() {
      set('<div data-via-keep class="a"><b>1</b></div>');
      box.querySelector("b").textContent = "mine";
      paint(box, '<div data-via-keep class="b"><b>2</b></div>');
      return all(box.textContent === "mine", box.firstChild.className === "b");
    },
    "a custom element keeps its shadow"() {
      if (!customElements.get("x-box")) customElements.define("x-box", class extends HTMLElement { constructor() { super(); this.attachShadow({ mode: "open" }).append("shadow"); } });
      set("<x-box>1</x-box>");
      const custom = box.firstChild;
      paint(box, "<x-box>2</x-box><x-box>3</x-box>");
      return all(box.firstChild === custom, custom.shadowRoot.textContent === "shadow", custom.textContent === "2", box.lastChild.shadowRoot !== null);
    },
    "random lists become the frame and keep their nodes"() {
      const pick = () => [...Array(12).keys()].filter(() => Math.random() < 0.7).sort(() => Math.random() - 0.5).map((n) => "k" + n);
      for (let round = 0; round < 150; round++) {
        const a = pick(), b = pick();
        set(list(a));
        const had = a.filter((key) => b.includes(key)).map((key) => [key, get(key)]);
        paint(box, list(b));
        if (box.innerHTML !== list(b)) return JSON.stringify([a, b, box.innerHTML]);
        for (const [key, node] of had) if (get(key) !== node) return key;
      }
      return true;
    },
  };
  const out = {};
  for (const [name, run] of Object.entries(cases)) {
    try { out[name] = run(); } catch (error) { out[name] = String(error.stack); }
    box.replaceChildren();
  }
  return out;
})()
