// Draws what is in sight, and moves about in it.

const SVG = "http://www.w3.org/2000/svg";
const canvas = document.getElementById("canvas");
const world = document.getElementById("world");
const view = { x: 0, y: 0, scale: 1 };
let selected = null;

function make(tag, attributes, parent, text) {
  const element = document.createElementNS(SVG, tag);
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function curve(points) {
  let path = `M${points[0][0].toFixed(1)},${points[0][1].toFixed(1)}`;
  for (let at = 1; at < points.length; at++) {
    const [x0, y0] = points[at - 1], [x1, y1] = points[at];
    const bend = x0 === x1 ? 0 : (y1 - y0) / 2;
    path += `C${x0.toFixed(1)},${(y0 + bend).toFixed(1)} ${x1.toFixed(1)},${(y1 - bend).toFixed(1)} ${x1.toFixed(1)},${y1.toFixed(1)}`;
  }
  return path;
}

function kindOf(item) {
  if (item.node) return paint(item.node);
  for (const kind of ["poor", "fair", "good", "skipped", "quantized", "folded", "removed", "changed", "inserted"]) {
    if (item.count[kind]) {
      if (kind === "inserted" && item.count.inserted < item.total) return data.diff ? "changed" : "quantized";
      if (kind === "removed" && item.count.removed < item.total) return "changed";
      return kind;
    }
  }
  return "";
}

function drawItem(item, parent, x, y, sight) {
  if (x > sight.right || y > sight.bottom || x + item.w < sight.left || y + item.h < sight.top) return 0;
  const kind = kindOf(item);
  const classes = ["item", item.node ? "node" : "scope", kind, isSource(item) ? "source" : "", item.open ? "open" : "",
    item.level % 2 ? "odd" : "", item.chunk ? "chunk" : "", item.aside ? "beside" : "", item === selected ? "selected" : ""];
  const group = make("g", { class: classes.filter(Boolean).join(" "), transform: `translate(${item.x.toFixed(1)},${item.y.toFixed(1)})`, "data-id": item.id, "data-name": item.name }, parent);
  make("rect", { width: item.w.toFixed(1), height: item.h.toFixed(1), rx: item.node ? 7 : 10 }, group);
  make("title", {}, group, item.node ? `${item.name} (${item.node.op})` : `${item.name}: ${item.total} nodes`);
  if (item.open) {
    make("text", { class: "toggle", x: 11, y: 21 }, group, "▾");
    make("text", { class: "head", x: 28, y: 21 }, group, item.label);
    return 1 + drawInside(item, group, x, y, sight);
  }
  const middle = item.w / 2;
  if (isSource(item)) make("text", { x: middle, y: 16 }, group, item.text);
  else if (item.node) {
    make("text", { x: middle, y: 18 }, group, item.text);
    make("text", { class: "sub", x: middle, y: 33 }, group, item.node.op);
  } else {
    make("text", { class: "toggle", x: 11, y: 20 }, group, "▸");
    make("text", { x: middle, y: 20 }, group, item.text);
    make("text", { class: "sub", x: middle, y: 36 }, group, item.ops);
    make("text", { class: "count", x: item.w - 8, y: 15 }, group, item.total);
    item.dots.forEach((dot, at) => {
      make("circle", { class: `dot ${dot}`, cx: 15 + at * 11, cy: item.h - 12, r: 3.6 }, group);
    });
  }
  return 1;
}

function drawInside(scope, parent, x, y, sight) {
  const near = selected && selected.parent === scope ? selected.id : null;
  for (const { edge, back, points } of scope.drawn) {
    const ys = points.map((point) => point[1]), xs = points.map((point) => point[0]);
    if (y + Math.max(...ys) < sight.top || y + Math.min(...ys) > sight.bottom || x + Math.max(...xs) < sight.left || x + Math.min(...xs) > sight.right) continue;
    const classes = `edge${edge.control ? " control" : edge.fed ? "" : " weight"}${back ? " back" : ""}${near !== null && (edge.from === near || edge.to === near) ? " near" : ""}`;
    const attributes = { class: classes, d: curve(points), "stroke-width": (1.1 + Math.min(1.6, Math.log2(edge.count) * 0.35)).toFixed(2) };
    if (edge.to >= 0) attributes["marker-end"] = "url(#arrow)";
    make("path", attributes, parent);
  }
  if (scope.sideAt) make("text", { class: "sidehead", x: scope.sideAt[0], y: scope.sideAt[1] + 12 }, parent, "BESIDE THE FLOW");
  let drawn = 0;
  for (const child of scope.children) drawn += drawItem(child, parent, x + child.x, y + child.y, sight);
  return drawn;
}

function render() {
  const box = canvas.getBoundingClientRect();
  const margin = Math.max(box.width, box.height) / 2;
  const sight = { left: (-view.x - margin) / view.scale, top: (-view.y - margin) / view.scale,
    right: (box.width - view.x + margin) / view.scale, bottom: (box.height - view.y + margin) / view.scale };
  world.replaceChildren();
  drawInside(root, world, 0, 0, sight);
  move();
}

function move() {
  world.setAttribute("transform", `translate(${view.x},${view.y}) scale(${view.scale})`);
}

let pending = 0;
function renderSoon() {
  move();
  clearTimeout(pending);
  pending = setTimeout(render, 90);
}

function relayout() {
  layout(root);
}

function fit() {
  const box = canvas.getBoundingClientRect();
  const scale = Math.min(1, (box.width - 40) / root.w, (box.height - 40) / root.h);
  // A tall graph is read from its top, not shown as a thread.
  view.scale = Math.max(scale, Math.min(0.62, (box.width - 40) / root.w));
  view.x = (box.width - root.w * view.scale) / 2;
  view.y = Math.max(16, (box.height - root.h * view.scale) / 2);
  render();
}

function placeOf(item) {
  let [x, y] = [0, 0];
  for (let at = item; at.parent; at = at.parent) { x += at.x; y += at.y; }
  return [x, y];
}

function center(item) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = placeOf(item);
  view.scale = Math.max(view.scale, Math.min(0.9, (box.width - 80) / item.w));
  view.x = box.width / 2 - (x + item.w / 2) * view.scale;
  view.y = box.height / 2 - (y + Math.min(item.h, box.height / view.scale) / 2) * view.scale;
  render();
}

function zoom(factor, at) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = at || [box.width / 2, box.height / 2];
  const scale = Math.min(3, Math.max(0.02, view.scale * factor));
  view.x = x - (x - view.x) * scale / view.scale;
  view.y = y - (y - view.y) * scale / view.scale;
  view.scale = scale;
  renderSoon();
}

// Opening or closing keeps the item where the eye is.
function toggle(item) {
  if (item.node) return;
  const [x0, y0] = placeOf(item);
  item.open = !item.open;
  relayout();
  const [x1, y1] = placeOf(item);
  view.x += (x0 - x1) * view.scale;
  view.y += (y0 - y1) * view.scale;
  render();
}

function reveal(item) {
  for (let at = item.parent; at; at = at.parent) at.open = true;
  relayout();
  select(item);
  center(item);
}

const FIRST_SIGHT = 44;

// Opens scopes down to the layers, as long as the drawing stays one that can be taken in.
function openLayers() {
  for (const item of items) item.open = false;
  root.open = true;
  let visible = root.children.length;
  for (;;) {
    let best = null;
    const look = (scope) => {
      for (const child of scope.children) {
        if (child.open) look(child);
        else if (!child.node && !child.beside && (child.layers > 1 || (child.layers === 1 && visible + child.children.length <= 20)) && visible + child.children.length <= FIRST_SIGHT + child.layers && child.children.length <= MOST_CHILDREN
          && (!best || child.layers > best.layers)) best = child;
      }
    };
    look(root);
    if (!best || visible > 3 * FIRST_SIGHT) break;
    best.open = true;
    visible += best.children.length;
  }
  relayout();
}

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  if (event.ctrlKey || event.metaKey || Math.abs(event.deltaY) >= 50 && Number.isInteger(event.deltaY)) {
    zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), [event.clientX - box.left, event.clientY - box.top]);
  } else {
    view.x -= event.deltaX; view.y -= event.deltaY;
    renderSoon();
  }
}, { passive: false });

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, y: event.clientY, far: false };
});
window.addEventListener("pointermove", (event) => {
  if (!drag || !(event.buttons & 1)) return;
  const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
  if (!drag.far && Math.hypot(dx, dy) < 4) return;
  Object.assign(drag, { x: event.clientX, y: event.clientY, far: true });
  canvas.classList.add("drag");
  view.x += dx; view.y += dy;
  renderSoon();
});
window.addEventListener("pointerup", () => {
  canvas.classList.remove("drag");
  setTimeout(() => { drag = null; });
});

const itemAt = (event) => items[event.target.closest?.(".item")?.dataset.id];
canvas.addEventListener("click", (event) => {
  if (drag?.far) return;
  const item = itemAt(event);
  if (item && (event.detail === 2 || event.target.classList.contains("toggle"))) toggle(item);
  select(item || null);
  render();
});
