// The graph as a tree of scopes. Nodes come as [name, op, status, inputs, attributes]; an input is the index of a node,
// [index, port] for a later output, or a negative number for a control input.

const data = JSON.parse(document.getElementById("data").textContent);
const STATUS = ["same", "inserted", "changed", "removed"];
const LAYER_OPS = new Set(["Conv2D", "DepthwiseConv2dNative", "MatMul", "Conv2DBackpropInput", "Conv3D", "BatchMatMul", "BatchMatMulV2"]);
const SOURCE_OPS = new Set(["Const", "VariableV2", "Variable", "VarHandleOp", "Placeholder"]);

const nodes = data.nodes.map(([name, op, status, inputs, attrs], index) => ({
  index, name, op: data.ops[op], status: STATUS[status], attrs, mark: null, quant: null, changes: null, readers: [],
  inputs: inputs.map((input) => Array.isArray(input) ? { from: input[0], port: input[1], control: false }
    : input < 0 ? { from: -input - 1, port: 0, control: true } : { from: input, port: 0, control: false }),
}));
for (const [index, mark] of data.marks) nodes[index].mark = mark;
for (const [index, quant] of data.quants) nodes[index].quant = quant;
for (const [index, changes] of data.changes) nodes[index].changes = changes;
for (const node of nodes) for (const input of node.inputs) nodes[input.from].readers.push({ to: node.index, control: input.control });

// What a node is painted as: a decision about it counts more than what was done to its inputs.
function paint(node) {
  if (node.mark) return node.mark.kind;
  if (node.status === "inserted" && /_[fF]old$/.test(node.name)) return "folded";
  return node.status === "same" || (node.status === "changed" && !data.diff) ? "" : node.status;
}

// Nodes that the outputs depend on; the others save, initialise, update or watch.
function findMain() {
  const main = new Uint8Array(nodes.length);
  const pending = [...data.outputs];
  while (pending.length) {
    const at = pending.pop();
    if (main[at]) continue;
    main[at] = 1;
    for (const input of nodes[at].inputs) if (!input.control) pending.push(input.from);
  }
  if (!data.outputs.length) main.fill(1);
  if (data.diff) for (const node of nodes) if (node.status === "removed") main[node.index] = 1;
  return main;
}

// The longest way from an input to each node, so that what comes first is drawn first; negative for what no input
// reaches, such as weights. Loops are cut where they close.
function findDepth() {
  const waiting = nodes.map((node) => node.inputs.filter((input) => !nodes[input.from].op.endsWith("NextIteration")).length);
  const depth = new Float64Array(nodes.length).fill(UNFED);
  const ready = [];
  waiting.forEach((count, index) => { if (count === 0) ready.push(index); });
  const feeds = findFeeds();
  for (let next = 0; next < ready.length; next++) {
    const node = nodes[ready[next]];
    if (feeds.has(node.index)) depth[node.index] = 0;
    if (node.op.endsWith("NextIteration")) continue;
    for (const { to, control } of node.readers) {
      if (!control) depth[to] = Math.max(depth[to], depth[node.index] + 1);
      if (--waiting[to] === 0) ready.push(to);
    }
  }
  return depth;
}

const UNFED = -1e9;

// Where data enters; in a graph without inputs, what the layers' first inputs begin with.
function findFeeds() {
  const is = (node) => main[node.index] && /^Placeholder|^IteratorGetNext|^QueueDequeue/.test(node.op);
  const feeds = new Set(nodes.filter(is).map((node) => node.index));
  if (feeds.size) return feeds;
  const seen = new Set();
  for (const layer of nodes) {
    if (!LAYER_OPS.has(layer.op)) continue;
    let at = layer.index;
    while (!seen.has(at) && nodes[at].inputs.length && !nodes[at].inputs[0].control) {
      seen.add(at);
      at = nodes[at].inputs[0].from;
    }
    if (!seen.has(at)) feeds.add(at);
  }
  return feeds;
}
const main = findMain();
const depth = findDepth();
const items = [];

function makeItem(name, label, parent, node) {
  const item = { id: items.length, name, label, parent, node, children: [], open: false, edges: [], chunk: false,
    total: node ? 1 : 0, layers: 0, beside: true, first: Infinity, order: Infinity, fed: false, count: {}, level: 0 };
  items.push(item);
  return item;
}

const root = makeItem("", "", null, null);
const itemOf = new Array(nodes.length);

function buildTree() {
  const scopes = new Map([["", root]]);
  const hasChildren = new Set();
  for (const node of nodes) {
    for (let at = node.name.indexOf("/"); at > 0; at = node.name.indexOf("/", at + 1)) hasChildren.add(node.name.slice(0, at));
  }
  const scopeOf = (name) => {
    const path = [];
    for (let at = name; !scopes.has(at); at = at.includes("/") ? at.slice(0, at.lastIndexOf("/")) : "") path.push(at);
    let scope = scopes.get(path.length ? (path.at(-1).includes("/") ? path.at(-1).slice(0, path.at(-1).lastIndexOf("/")) : "") : name);
    for (const full of path.reverse()) {
      const child = makeItem(full, full.slice(full.lastIndexOf("/") + 1), scope, null);
      scope.children.push(child);
      scopes.set(full, child);
      scope = child;
    }
    return scope;
  };
  for (const node of nodes) {
    const slash = node.name.lastIndexOf("/");
    const scope = scopeOf(hasChildren.has(node.name) ? node.name : slash < 0 ? "" : node.name.slice(0, slash));
    const item = makeItem(node.name, node.name.slice(slash + 1), scope, node);
    scope.children.push(item);
    itemOf[node.index] = item;
  }
}

// A scope that holds one scope and nothing else is shown as one.
function mergeChains(item) {
  item.children.forEach(mergeChains);
  item.children = item.children.map((child) => {
    if (child.node || child.children.length !== 1 || child.children[0].node) return child;
    const inner = child.children[0];
    inner.label = child.label + "/" + inner.label;
    inner.parent = item;
    return inner;
  });
}

const MOST_CHILDREN = 120;

// A scope comes where the first of its nodes that depend on an input comes.
function meet(item, child) {
  if (item.fed === child.fed) item.order = Math.min(item.order, child.order);
  else if (child.fed) item.order = child.order;
  item.fed ||= child.fed;
}

function tally(item) {
  if (item.node) {
    const { node } = item;
    item.first = node.index;
    item.order = main[node.index] ? depth[node.index] : Infinity;
    item.fed = main[node.index] === 1 && depth[node.index] >= 0;
    item.beside = !main[node.index];
    item.layers = (node.mark ? node.mark.layer && node.mark.kind !== "folded" : LAYER_OPS.has(node.op)) ? 1 : 0;
    const kind = paint(node);
    if (kind) item.count[kind] = 1;
    return;
  }
  for (const child of item.children) {
    tally(child);
    item.total += child.total;
    item.layers += child.layers;
    item.beside &&= child.beside;
    item.first = Math.min(item.first, child.first);
    meet(item, child);
    for (const kind in child.count) item.count[kind] = (item.count[kind] || 0) + child.count[kind];
  }
}

// Too many children for one drawing are put into groups, in the order of the file.
function chunk(item) {
  item.children.forEach(chunk);
  if (item.children.length <= MOST_CHILDREN) return;
  const sorted = [...item.children].sort((a, b) => a.first - b.first);
  const size = Math.max(40, Math.ceil(sorted.length / 40));
  item.children = [];
  for (let at = 0; at < sorted.length; at += size) {
    const part = sorted.slice(at, at + size);
    const group = makeItem(`${item.name} ${at}`, `${part[0].label} … ${part.at(-1).label}`, item, null);
    group.chunk = true;
    group.children = part;
    for (const child of part) child.parent = group;
    item.children.push(group);
    chunk(group);
    let { total, layers, count } = { total: 0, layers: 0, count: {} };
    let [first, beside] = [Infinity, true];
    for (const child of group.children) {
      total += child.total; layers += child.layers; beside &&= child.beside;
      first = Math.min(first, child.first);
      meet(group, child);
      for (const kind in child.count) count[kind] = (count[kind] || 0) + child.count[kind];
    }
    Object.assign(group, { total, layers, count, first, beside });
  }
}

function setLevels(item, level) {
  item.level = level;
  for (const child of item.children) setLevels(child, level + 1);
}

// Every edge is drawn in the innermost scope that holds both its ends, between that scope's children; scopes on the way
// there remember which of their children it enters or leaves.
function liftEdges() {
  const maps = new Map();
  const add = (scope, from, to, control, fed) => {
    let edges = maps.get(scope);
    if (!edges) maps.set(scope, edges = new Map());
    const key = from * 4194304 + to;
    const edge = edges.get(key);
    if (edge) { edge.count++; edge.control &&= control; edge.fed ||= fed; } else edges.set(key, { from, to, count: 1, control, fed });
  };
  for (const node of nodes) {
    for (const { from, control } of node.inputs) {
      if (control && main[node.index] !== main[from]) continue;
      let a = itemOf[from], b = itemOf[node.index];
      if (a === b) continue;
      const fed = !control && depth[from] >= 0;
      while (a.level > b.level) { if (a.parent.level >= b.level && a.parent !== b.parent) add(a.parent, a.id, -1, control, fed); a = a.parent; }
      while (b.level > a.level) { if (b.parent !== a.parent) add(b.parent, -2, b.id, control, fed); b = b.parent; }
      while (a.parent !== b.parent) {
        add(a.parent, a.id, -1, control, fed);
        add(b.parent, -2, b.id, control, fed);
        a = a.parent; b = b.parent;
      }
      if (a !== b) add(a.parent, a.id, b.id, control, fed);
    }
  }
  for (const [scope, edges] of maps) scope.edges = [...edges.values()];
}

const KINDS = ["removed", "poor", "fair", "good", "skipped", "changed", "folded", "inserted", "quantized"];

// The ops that make a scope what it is.
function topOps(item) {
  const counts = new Map();
  const walk = (at) => {
    if (at.node) { if (!at.beside) counts.set(at.node.op, (counts.get(at.node.op) || 0) + 1); } else at.children.forEach(walk);
  };
  if (item.total <= 2000) walk(item);
  const rank = (op) => LAYER_OPS.has(op) ? 0 : /^(Relu|Softmax|Sigmoid|Tanh|Add|Concat|MaxPool|AvgPool|Mean|FusedBatchNorm|BiasAdd)/.test(op) ? 1 : /^FakeQuant/.test(op) ? 2 : 9;
  const told = [...counts.keys()].filter((op) => rank(op) < 2).sort((a, b) => rank(a) - rank(b) || counts.get(b) - counts.get(a));
  return [...new Set(told.map((op) => op.replace(/Conv2dNative$/, "Conv").replace(/V\d$/, "")))].slice(0, 3).join(" · ");
}

buildTree();
mergeChains(root);
tally(root);
chunk(root);
setLevels(root, 0);
liftEdges();
