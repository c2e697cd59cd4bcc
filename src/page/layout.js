// Places the children of a scope in layers, top to bottom, as dataflow is drawn by hand. An open scope is placed first and
// then is a big box to the scope around it; what enters and leaves it passes through a port in its border.

const GAP_X = 22, GAP_Y = 34, PAD = 16, HEAD = 30, SIDE_GAP = 46;

const measure = (() => {
  const context = document.createElement("canvas").getContext("2d");
  context.font = "12.5px system-ui, sans-serif";
  return (text) => context.measureText(text).width;
})();

function shorten(text, most) {
  return text.length <= most ? text : text.slice(0, Math.ceil(most / 2) - 1) + "…" + text.slice(-Math.floor(most / 2));
}

const isSource = (item) => item.node && SOURCE_OPS.has(item.node.op) && item.node.op !== "Placeholder";

function sizeOf(item) {
  item.text = shorten(item.label, 34);
  const wide = measure(item.text);
  if (isSource(item)) return [Math.max(52, wide + 18), 24];
  if (item.node) return [Math.max(96, wide + 28, measure(item.node.op) * 0.86 + 22), 42];
  item.ops ??= topOps(item) || `${item.total} nodes`;
  item.dots ??= KINDS.filter((kind) => item.count[kind]);
  return [Math.max(150, wide + 72, measure(item.ops) * 0.86 + 2 * (14 + 11 * item.dots.length)), 46];
}

function layout(scope) {
  for (const child of scope.children) {
    if (child.open) layout(child);
    else [child.w, child.h] = sizeOf(child);
  }
  const crowd = findCrowd(scope);
  const stands = (child) => crowd.has(child) || (child.beside && !scope.beside);
  const flow = scope.children.filter((child) => !stands(child));
  const beside = scope.children.filter(stands);
  for (const child of scope.children) child.aside = stands(child);
  const { width, height } = placeFlow(scope, flow);
  const side = placeBeside(beside, width, height);
  const top = scope === root ? 0 : HEAD;
  for (const child of scope.children) { child.x += PAD; child.y += PAD + top; }
  for (const edge of scope.drawn) for (const point of edge.points) { point[0] += PAD; point[1] += PAD + top; }
  scope.sideAt = side ? [width + SIDE_GAP + PAD, PAD + top - 8] : null;
  scope.w = Math.max(side ? side.right : width, scope === root ? 0 : measure(scope.label) + 60) + 2 * PAD;
  scope.h = Math.max(height, side ? side.bottom : 0) + 2 * PAD + top;
  for (const { edge, back, points } of scope.drawn) if (edge.to === -1 && !back) points.at(-1)[1] = scope.h;
  if (scope.ports) for (const port in scope.ports) scope.ports[port] += PAD;
}

const MOST_FEEDERS = 6;

// Many things that only hold parameters for one and the same scope would hide the flow: they stand beside it.
function findCrowd(scope) {
  const readers = new Map();
  const holders = new Set(scope.children.filter((child) => !child.fed && !child.beside && child.layers === 0).map((child) => child.id));
  for (const { from, to } of scope.edges) {
    if (!holders.has(from) || to < 0) continue;
    const known = readers.get(from);
    readers.set(from, known === undefined || known === to ? to : null);
  }
  const groups = new Map();
  for (const [from, to] of readers) if (to !== null) groups.set(to, [...(groups.get(to) || []), items[from]]);
  return new Set([...groups.values()].filter((group) => group.length > MOST_FEEDERS).flat());
}

// What is no part of the flow stands in columns at the right.
function placeBeside(beside, width, height) {
  if (!beside.length) return null;
  let [x, y, column, bottom] = [width + SIDE_GAP, 14, 0, 0];
  const most = Math.max(height, 260);
  for (const item of beside) {
    if (y > 14 && y + item.h > most) { x += column + GAP_X; y = 14; column = 0; }
    item.x = x; item.y = y;
    y += item.h + 10;
    column = Math.max(column, item.w);
    bottom = Math.max(bottom, y);
  }
  return { right: x + column, bottom };
}

function placeFlow(scope, flow) {
  scope.drawn = [];
  scope.ports = null;
  if (!flow.length) return { width: 0, height: 0 };
  const cells = new Map(flow.map((item) => [item.id, { item, w: item.w, h: item.h, layer: 0, ups: [], downs: [], order: item.order, first: item.first }]));
  const hasPorts = scope !== root;
  const port = (order) => ({ item: null, port: true, w: 1, h: 0, layer: 0, ups: [], downs: [], order, first: order });
  const entry = port(-1), exit = port(Infinity);
  const cellOf = (id) => id === -2 ? (hasPorts ? entry : null) : id === -1 ? (hasPorts ? exit : null) : cells.get(id);
  const links = [];
  for (const edge of scope.edges) {
    let a = cellOf(edge.from), b = cellOf(edge.to);
    if (!a || !b || ((a === entry || b === exit) && !edge.fed && scope.fed)) continue;
    const back = a !== entry && b !== exit && (a.order > b.order || (a.order === b.order && a.first > b.first && !Number.isFinite(a.order)));
    links.push({ edge, a: back ? b : a, b: back ? a : b, back });
  }
  const all = [...cells.values()];
  if (links.some((link) => link.a === entry)) all.unshift(entry);
  if (links.some((link) => link.b === exit)) all.push(exit);
  assignLayers(all, links, entry, exit);
  const layers = makeLayers(all, links);
  orderLayers(layers);
  return placeLayers(scope, layers, links, entry, exit);
}

function assignLayers(all, links, entry, exit) {
  const out = new Map(all.map((cell) => [cell, []]));
  const waiting = new Map(all.map((cell) => [cell, 0]));
  for (const link of links) { out.get(link.a).push(link); waiting.set(link.b, waiting.get(link.b) + 1); }
  const ready = all.filter((cell) => waiting.get(cell) === 0);
  const done = new Set();
  const settle = (cell) => {
    done.add(cell);
    for (const link of out.get(cell)) {
      if (done.has(link.b)) { [link.a, link.b] = [link.b, link.a]; link.back = !link.back; continue; }
      link.b.layer = Math.max(link.b.layer, cell.layer + 1);
      waiting.set(link.b, waiting.get(link.b) - 1);
      if (waiting.get(link.b) === 0) ready.push(link.b);
    }
  };
  for (let next = 0; done.size < all.length;) {
    if (next < ready.length) { const cell = ready[next++]; if (!done.has(cell)) settle(cell); continue; }
    // Scopes that feed one another go round: begin at the first of them.
    let first = null;
    for (const cell of all) if (!done.has(cell) && (!first || cell.order < first.order)) first = cell;
    settle(first);
  }
  // What reads nothing stands right above what reads it.
  const last = Math.max(...all.map((cell) => cell.layer));
  for (const cell of [...all].reverse()) {
    const reads = links.some((link) => link.b === cell);
    const readers = links.filter((link) => link.a === cell).map((link) => link.b.layer);
    if (!reads && cell !== entry && readers.length) cell.layer = Math.max(0, Math.min(...readers) - 1);
  }
  if (all.includes(exit)) exit.layer = Math.max(exit.layer, last);
}

const MOST_BENDS = 4000;

function makeLayers(all, links) {
  const layers = [];
  const put = (cell) => { (layers[cell.layer] ||= []).push(cell); };
  const sorted = [...all].sort((a, b) => a.order - b.order || a.first - b.first);
  sorted.forEach(put);
  let bends = 0;
  for (const link of links) {
    const low = Math.min(link.a.layer, link.b.layer), high = Math.max(link.a.layer, link.b.layer);
    if (link.a.layer > link.b.layer) { [link.a, link.b] = [link.b, link.a]; link.back = !link.back; }
    link.path = [link.a];
    if (bends + high - low < MOST_BENDS) {
      for (let layer = low + 1; layer < high; layer++, bends++) {
        const bend = { item: null, w: 6, h: 0, layer, ups: [], downs: [], order: link.b.order, first: link.b.first };
        put(bend);
        link.path.push(bend);
      }
    }
    link.path.push(link.b);
    const weight = link.edge.fed ? 1 : link.edge.control ? 0.05 : 0.2;
    for (let at = 1; at < link.path.length; at++) {
      link.path[at - 1].downs.push([link.path[at], weight]);
      link.path[at].ups.push([link.path[at - 1], weight]);
    }
  }
  return Array.from(layers, (layer) => layer || []);
}

function orderLayers(layers) {
  const number = (layer) => layer.forEach((cell, index) => { cell.place = index; });
  layers.forEach(number);
  for (let round = 0; round < 8; round++) {
    const down = round % 2 === 0;
    for (let step = 1; step < layers.length; step++) {
      const layer = layers[down ? step : layers.length - 1 - step];
      for (const cell of layer) {
        const near = down ? cell.ups : cell.downs;
        let sum = 0, total = 0;
        for (const [other, weight] of near) { sum += other.place * weight; total += weight; }
        cell.wish = total ? sum / total : cell.place;
      }
      layer.sort((a, b) => a.wish - b.wish);
      number(layer);
    }
  }
}

// Each cell goes as near to its neighbours as the cells beside it allow: a regression that keeps the order.
function settleLayer(layer, near) {
  const blocks = [];
  let offset = 0;
  layer.forEach((cell, index) => {
    if (index) offset += (layer[index - 1].w + cell.w) / 2 + (cell.item || layer[index - 1].item ? GAP_X : 12);
    cell.offset = offset;
    let sum = 0, total = 0;
    for (const [other, weight] of near(cell)) { sum += other.cx * weight; total += weight; }
    const block = { sum: ((total ? sum / total : cell.cx) - offset) * (total ? 1 : 0.05), weight: total ? 1 : 0.05, cells: [cell] };
    blocks.push(block);
    while (blocks.length > 1) {
      const b = blocks.at(-1), a = blocks.at(-2);
      if (a.sum / a.weight <= b.sum / b.weight) break;
      a.sum += b.sum; a.weight += b.weight; a.cells.push(...b.cells);
      blocks.pop();
    }
  });
  for (const block of blocks) for (const cell of block.cells) cell.cx = block.sum / block.weight + cell.offset;
}

function placeLayers(scope, layers, links, entry, exit) {
  for (const layer of layers) {
    let x = 0;
    for (const cell of layer) { cell.cx = x + cell.w / 2; x += cell.w + GAP_X; }
    for (const cell of layer) cell.cx -= x / 2;
  }
  for (let round = 0; round < 10; round++) {
    if (round % 2 === 0) for (let at = 1; at < layers.length; at++) settleLayer(layers[at], (cell) => cell.ups);
    else for (let at = layers.length - 2; at >= 0; at--) settleLayer(layers[at], (cell) => cell.downs);
  }
  for (let at = 0; at < layers.length; at++) settleLayer(layers[at], (cell) => [...cell.ups, ...cell.downs]);
  let left = Infinity, right = -Infinity, y = 0;
  for (const layer of layers) for (const cell of layer) {
    left = Math.min(left, cell.cx - cell.w / 2);
    right = Math.max(right, cell.cx + cell.w / 2);
  }
  layers.forEach((layer, at) => {
    const tall = Math.max(0, ...layer.map((cell) => cell.h));
    for (const cell of layer) {
      cell.cx -= left;
      cell.top = y + (tall - cell.h) / 2;
      cell.bottom = cell.top + cell.h;
      cell.layerTop = y; cell.layerBottom = y + tall;
      if (cell.item) { cell.item.x = cell.cx - cell.w / 2; cell.item.y = cell.top; }
    }
    if (at + 1 < layers.length) y += tall + (tall ? GAP_Y : 14); else y += tall;
  });
  scope.ports = { entry: entry.cx ?? (right - left) / 2, exit: exit.cx ?? (right - left) / 2 };
  const border = { top: -PAD - HEAD, bottom: y + PAD };
  for (const link of links) scope.drawn.push({ edge: link.edge, back: link.back, points: route(link, entry, exit, border) });
  return { width: right - left, height: y };
}

function route(link, entry, exit, border) {
  const points = [];
  link.path.forEach((cell, at) => {
    if (cell === entry) points.push([cell.cx, border.top], [cell.cx, cell.bottom]);
    else if (cell === exit) points.push([cell.cx, cell.top], [cell.cx, border.bottom]);
    else if (cell.item) {
      const inner = cell.item.open && cell.item.ports;
      const x = (which) => inner ? cell.cx - cell.w / 2 + inner[which] : cell.cx;
      points.push(at === 0 ? [x("exit"), cell.bottom] : [x("entry"), cell.top]);
    } else points.push([cell.cx, cell.layerTop], [cell.cx, cell.layerBottom]);
  });
  return link.back ? points.reverse() : points;
}
