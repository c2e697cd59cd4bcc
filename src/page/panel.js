// What is told about the selected item, or about the whole graph; and the filter that finds nodes.

const panel = document.getElementById("panel");

function add(parent, tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  if (className) element.className = className;
  parent.append(element);
  return element;
}

function link(parent, item, text) {
  const anchor = add(parent, "a", text ?? item.name);
  anchor.tabIndex = 0;
  anchor.addEventListener("click", () => reveal(item));
  anchor.addEventListener("keydown", (event) => { if (event.key === "Enter") reveal(item); });
  return anchor;
}

function table(title, rows) {
  if (!rows.length) return;
  add(panel, "h3", title);
  const element = add(panel, "table");
  for (const [name, value] of rows) {
    const row = add(element, "tr");
    add(row, "td", name);
    const cell = add(row, "td");
    if (typeof value === "function") value(cell); else cell.textContent = value;
  }
}

const MOST_LISTED = 40;

function list(title, entries, show) {
  if (!entries.length) return;
  add(panel, "h3", `${title} (${entries.length})`);
  const element = add(panel, "ul");
  entries.slice(0, MOST_LISTED).forEach((entry) => show(add(element, "li"), entry));
  if (entries.length > MOST_LISTED) add(element, "li", `and ${entries.length - MOST_LISTED} more`, "more");
}

function select(item) {
  selected = item;
  panel.replaceChildren();
  panel.scrollTop = 0;
  if (!item) return showAll();
  const back = add(panel, "button", "Overview", "back");
  back.addEventListener("click", () => { select(null); render(); });
  add(panel, "h2", item.name || item.label).id = "selected";
  if (item.node) showNode(item.node); else showScope(item);
}

const WORDS = { quantized: "quantized", inserted: data.diff ? "added" : "inserted", folded: "folded", skipped: "left as it is", changed: "changed", removed: "removed",
  good: "30 dB or more", fair: "20 to 30 dB", poor: "less than 20 dB" };

function chip(kind, text) {
  add(panel, "span", text || WORDS[kind] || kind, `chip ${kind || "plain"}`);
}

function showNode(node) {
  add(panel, "p", node.op, "op");
  if (node.mark) chip(node.mark.kind, node.mark.code === "quantized" ? "" : node.mark.code);
  if (node.status !== "same") chip(node.status, node.status === "changed" && !data.diff ? "reads other tensors now" : "");
  if (node.mark && node.mark.kind !== "quantized") {
    const reason = add(panel, "div", node.mark.why, `reason ${node.mark.kind}`);
    if (node.mark.detail) add(reason, "p", node.mark.detail);
  }
  if (node.mark && node.mark.steps) table("What the rules found", node.mark.steps);
  const { quant } = node;
  if (quant) {
    const rows = [["minimum", quant.min], ["maximum", quant.max], ["bits", quant.bits + (quant.narrow ? ", narrow range" : "")]];
    if (quant.role) rows.push(["quantizes", quant.role]);
    if (quant.values) rows.push(["outside", `${(100 * quant.values.clipped).toFixed(3)} %`]);
    table("Range", rows);
  }
  const counted = quant ?? node.readers.map((reader) => nodes[reader.to].quant).find((reader) => reader?.values);
  if (counted?.values) drawValues(counted.values);
  if (node.changes) table("Changes", node.changes.map(([what, before, after]) => [what, `${before ?? "(none)"} → ${after ?? "(none)"}`]));
  table("Attributes", node.attrs);
  list("Inputs", node.inputs, (entry, input) => {
    if (input.control) add(entry, "span", "waits for ", "more");
    link(entry, itemOf[input.from], nodes[input.from].name + (input.port ? `:${input.port}` : ""));
  });
  list("Read by", node.readers, (entry, reader) => {
    link(entry, itemOf[reader.to]);
    if (reader.control) add(entry, "span", " waits for it", "more");
  });
}

const CHART = { width: 320, height: 96 };

// How often which values occurred, by the logarithm of the count; what lies outside of the range is shaded.
function drawValues({ span: [low, high], counts, range }) {
  add(panel, "h3", "Values");
  const { width, height } = CHART;
  const [from, to] = [Math.min(low, range[0]), Math.max(high, range[1])];
  const x = (value) => (value - from) / (to - from || 1) * width;
  const most = Math.log1p(Math.max(...counts, 1));
  const chart = make("svg", { id: "values", viewBox: `0 0 ${width} ${height + 16}`, role: "img", "aria-label": "How often which values occur" }, panel);
  const step = (high - low) / counts.length;
  counts.forEach((count, at) => {
    if (!count) return;
    const tall = Math.max(1, Math.log1p(count) / most * (height - 4));
    const left = x(low + at * step);
    const bar = make("rect", { class: "bar", x: left.toFixed(2), y: (height - tall).toFixed(2), width: Math.max(0.5, x(low + (at + 1) * step) - left).toFixed(2), height: tall.toFixed(2) }, chart);
    make("title", {}, bar, `${count} from ${(low + at * step).toPrecision(4)} to ${(low + (at + 1) * step).toPrecision(4)}`);
  });
  for (const [left, right] of [[0, x(range[0])], [x(range[1]), width]]) {
    if (right > left) make("rect", { class: "outside", x: left.toFixed(2), y: 0, width: (right - left).toFixed(2), height }, chart);
  }
  for (const end of range) make("path", { class: "end", d: `M${x(end).toFixed(2)},0V${height}` }, chart);
  make("text", { x: 0, y: height + 13 }, chart, from.toPrecision(4));
  make("text", { class: "right", x: width, y: height + 13 }, chart, to.toPrecision(4));
}

function showScope(item) {
  add(panel, "p", `${item.total} nodes`, "op");
  for (const kind of KINDS) if (item.count[kind]) chip(kind, `${item.count[kind]} ${WORDS[kind]}`);
  const button = add(panel, "p");
  const toggler = add(button, "button", item.open ? "Close" : "Open");
  toggler.id = "toggle";
  toggler.addEventListener("click", () => { toggle(item); select(item); });
  const leaves = [];
  const walk = (at) => { if (at.node) leaves.push(at); else at.children.forEach(walk); };
  walk(item);
  list("Decisions", leaves.filter((leaf) => leaf.node.mark), (entry, leaf) => {
    link(entry, leaf);
    add(entry, "span", " " + leaf.node.mark.code, "more");
  });
  const ops = new Map();
  for (const leaf of leaves) ops.set(leaf.node.op, (ops.get(leaf.node.op) || 0) + 1);
  table("Ops", [...ops].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([op, count]) => [op, String(count)]));
}

function showAll() {
  add(panel, "h2", "Overview").id = "selected";
  add(panel, "p", data.title, "op");
  table("In numbers", data.facts);
  const legend = KINDS.filter((kind) => root.count[kind]).reverse();
  if (legend.length) {
    add(panel, "h3", "Colours");
    const box = add(panel, "div", undefined, "legend");
    for (const kind of legend) {
      const swatch = add(box, "i");
      swatch.style.background = `var(--${kind}-fill)`;
      swatch.style.borderColor = `var(--${kind})`;
      const words = add(box, "span");
      const anchor = add(words, "a", WORDS[kind]);
      anchor.addEventListener("click", () => { filter.value = `is:${kind}`; search(); filter.focus(); });
      add(box, "b", root.count[kind]);
    }
  }
  const measured = nodes.filter((node) => node.mark?.sqnr !== undefined).sort((a, b) => a.mark.sqnr - b.mark.sqnr);
  list("Furthest from the float model", measured, (entry, node) => {
    link(entry, itemOf[node.index]);
    add(entry, "span", " " + node.mark.code, "more");
  });
  for (const [title, kind] of [["Left as they are", "skipped"], ["Quantized layers", "quantized"], ["Folded", "folded"]]) {
    list(title, nodes.filter((node) => node.mark?.kind === kind), (entry, node) => {
      link(entry, itemOf[node.index]);
      if (kind === "skipped") add(entry, "div", node.mark.why, "more");
    });
  }
  if (data.warnings.length) list("Warnings", data.warnings, (entry, warning) => { entry.textContent = warning; });
  if (data.outputs.length) list("Outputs", data.outputs, (entry, index) => link(entry, itemOf[index]));
}

const filter = document.getElementById("filter");
const hits = document.getElementById("hits");
const MOST_HITS = 60;
let found = [];
let at = 0;

// Words that all have to be in a node's name or op; `is:skipped` asks for a colour, `op:Conv2D` for an op.
function search() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  hits.replaceChildren();
  found = [];
  at = 0;
  hits.hidden = !words.length;
  if (!words.length) return;
  let count = 0;
  for (const node of nodes) {
    const name = node.name.toLowerCase(), op = node.op.toLowerCase();
    const fits = words.every((word) => word.startsWith("is:") ? paint(node) === word.slice(3) || node.status === word.slice(3)
      : word.startsWith("op:") ? op === word.slice(3) : name.includes(word) || op.includes(word));
    if (!fits) continue;
    if (count++ < MOST_HITS) found.push(itemOf[node.index]);
  }
  found.forEach((item, index) => {
    const entry = add(hits, "li", item.name, index ? "" : "at");
    add(entry, "small", item.node.op);
    entry.addEventListener("click", () => choose(index));
  });
  add(hits, "li", count === 0 ? "nothing found" : count > found.length ? `${count} nodes, the first ${found.length} shown` : `${count} node${count > 1 ? "s" : ""}`, "note").id = "hit-count";
}

function choose(index) {
  if (!found[index]) return;
  hits.hidden = true;
  reveal(found[index]);
}

filter.addEventListener("input", search);
filter.addEventListener("keydown", (event) => {
  if (event.key === "Enter") choose(at);
  else if (event.key === "Escape") { hits.hidden = true; filter.blur(); }
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    hits.children[at]?.classList.remove("at");
    at = Math.max(0, Math.min(found.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)));
    hits.children[at]?.classList.add("at");
    hits.children[at]?.scrollIntoView({ block: "nearest" });
  }
});
document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".search")) hits.hidden = true; });
