// Opens pages that tfquant wrote in a real browser, from disk, and looks at what is shown.
// TFQUANT names the program (default: target/release/tfquant), SHOTS a folder for screenshots.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const top = resolve(import.meta.dirname, "../..");
const program = process.env.TFQUANT ?? join(top, "target/release/tfquant");
const model = join(top, "testdata/mobilenet_v1.meta");
const shots = process.env.SHOTS;
const folder = mkdtempSync(join(tmpdir(), "tfquant-browser-"));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

let browser;
before(async () => {
  browser = await chromium.launchPersistentContext(join(folder, "profile"), {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags, viewport: { width: 1400, height: 900 },
  });
  if (shots) mkdirSync(shots, { recursive: true });
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

function tfquant(...args) {
  try {
    return execFileSync(program, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 28 });
  } catch (error) {
    // `diff` and `check` exit with 1 when they find something.
    if (error.status === 1) return error.stdout;
    throw error;
  }
}

async function open(file, scheme = "light") {
  const page = await browser.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => { if (message.type() === "error") problems.push(message.text()); });
  page.on("request", (request) => { if (!request.url().startsWith("file:")) problems.push(`asks for ${request.url()}`); });
  page.problems = problems;
  await page.emulateMedia({ colorScheme: scheme });
  await page.goto(pathToFileURL(join(folder, file)).href);
  await page.waitForSelector("body[data-ready]");
  return page;
}

async function close(page, name) {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`) });
  assert.deepEqual(page.problems, [], "no errors and no network");
  await page.close();
}

const box = (page, name) => page.locator(`[data-name="${name}"] > rect`).first();
const find = async (page, words) => {
  await page.fill("#filter", words);
  await page.keyboard.press("Enter");
};

test("a rewrite: layers as blocks, top to bottom, that open", async () => {
  tfquant("rewrite", model, "--no-fold-batch-norms", "--dry-run", "--quiet", "--html", "rewrite.html");
  const page = await open("rewrite.html");
  assert.match(await page.textContent("#subtitle"), /28 of 28 layers/);
  const blocks = page.locator(".item.scope.quantized:not(.open)");
  assert.ok(await blocks.count() >= 20, "the layers are blocks of their own");
  const [first, second] = [await box(page, "MobilenetV1/Conv2d_0").boundingBox(), await box(page, "MobilenetV1/Conv2d_1_depthwise").boundingBox()];
  assert.ok(first.y + first.height < second.y, "data flows downwards");
  assert.ok(Math.abs(first.x + first.width / 2 - second.x - second.width / 2) < 12, "a chain is a straight line");

  await page.locator('[data-name="MobilenetV1/Conv2d_0"]').first().dblclick();
  const inside = page.locator('[data-name="MobilenetV1/Conv2d_0/weights_quant"]');
  assert.equal(await inside.count(), 1, "it opened");
  assert.match(await inside.getAttribute("class"), /inserted/);
  const order = [];
  for (const part of ["weights_quant", "Conv2D", "BatchNorm", "Relu6", "act_quant"]) {
    order.push((await box(page, `MobilenetV1/Conv2d_0/${part}`).boundingBox()).y);
  }
  assert.deepEqual(order, [...order].sort((a, b) => a - b), "weights, layer, batch norm, activation, quantizer");
  await page.locator('[data-name="MobilenetV1/Conv2d_0"] > .toggle').click();
  assert.equal(await inside.count(), 0, "it closed");
  await close(page, "rewrite");
});

test("a click shows attributes and ranges, the filter finds a node", async () => {
  tfquant("explain", model, "--no-fold-batch-norms", "--html", "explain.html");
  const page = await open("explain.html", "dark");
  await page.fill("#filter", "conv2d_3_pointwise fakequant");
  assert.match(await page.textContent("#hit-count"), /^2 nodes$/);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const name = await page.textContent("#selected");
  assert.match(name, /^MobilenetV1\/Conv2d_3_pointwise\/(act|weights)_quant\/FakeQuantWithMinMaxVars$/);
  const panel = await page.textContent("#panel");
  assert.match(panel, /minimumMobilenetV1\/Conv2d_3_pointwise\/\w+_quant\/min/);
  assert.match(panel, /num_bits8/);
  assert.equal(await page.locator(".item.selected").getAttribute("data-name"), name, "it is in sight");
  const place = await page.locator(".item.selected > rect").boundingBox();
  assert.ok(place.x > 0 && place.y > 0 && place.x + place.width < 1040 && place.y + place.height < 900);

  await find(page, "op:softmax");
  assert.equal(await page.textContent("#panel .op"), "Softmax");
  await page.locator("#panel li a").first().click();
  assert.notEqual(await page.textContent("#selected"), "Softmax", "a link leads on");
  await page.fill("#filter", "no such thing");
  assert.equal(await page.textContent("#hit-count"), "nothing found");
  await page.keyboard.press("Escape");
  await close(page, "explain-dark");
});

test("folded batch norms and skipped layers are marked, with the reason", async () => {
  tfquant("rewrite", model, "--exclude", "Conv2d_5_", "--dry-run", "--quiet", "--html", "folded.html");
  const page = await open("folded.html");
  assert.match(await page.textContent("#panel"), /Folded \(\d+\)/);
  await find(page, "is:folded conv2d_0");
  assert.ok(await page.locator(".item.folded").count() > 0);
  await find(page, "is:skipped op:depthwiseconv2dnative");
  assert.equal(await page.textContent("#selected"), "MobilenetV1/Conv2d_5_depthwise/depthwise");
  assert.match(await page.textContent(".reason"), /--exclude/);
  assert.match(await page.locator(".item.selected").getAttribute("class"), /skipped/);
  await close(page, "folded");
});

test("a difference: added, removed and changed", async () => {
  tfquant("rewrite", model, "--no-fold-batch-norms", "--mode", "eval", "--quiet", "-o", "eval.meta");
  const told = tfquant("diff", model, "eval.meta", "--html", "diff.html").trimEnd().split("\n").at(-1);
  const [added, removed, changed] = told.match(/\d+/g);
  tfquant("diff", "eval.meta", model, "--html", "back.html");
  const page = await open("diff.html");
  assert.ok(added > 100 && changed > 20);
  assert.equal(await page.textContent("#subtitle"), `${added} added, ${removed} removed, ${changed} changed nodes`);
  await find(page, "conv2d_0/conv2d op:conv2d");
  assert.match(await page.textContent("#panel"), /input 1.*weights\/read → .*weights_quant\/FakeQuantWithMinMaxVars/);
  assert.match(await page.locator(".item.selected").getAttribute("class"), /changed/);
  await close(page, "diff");
  const back = await open("back.html", "dark");
  await find(back, "is:removed fakequant");
  assert.match(await back.locator(".item.selected").getAttribute("class"), /removed/);
  await close(back, "diff-back-dark");
});

test("light and dark are different, readable, and can be switched", async () => {
  const lightness = (page, selector, property) => page.locator(selector).first().evaluate((element, name) => {
    const [r, g, b] = getComputedStyle(element)[name].match(/[\d.]+/g).map(Number);
    return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
  }, property);
  for (const [scheme, dark] of [["light", false], ["dark", true]]) {
    const page = await open("rewrite.html", scheme);
    const paper = await lightness(page, "body", "backgroundColor"), ink = await lightness(page, "body", "color");
    assert.equal(paper < ink, dark, scheme);
    assert.ok(Math.abs(paper - ink) > 0.6, "text stands out");
    const fill = await lightness(page, ".item.quantized > rect", "fill"), text = await lightness(page, ".item.quantized > text", "fill");
    assert.ok(Math.abs(fill - text) > 0.4, "labels stand out");
    await page.click("#theme");
    assert.equal(await lightness(page, "body", "backgroundColor") < 0.5, !dark, "the button switches");
    await close(page, `theme-${scheme}`);
  }
});

test("a calibration: layers by how near they are, ranges with their values", async () => {
  const digits = join(top, "testdata/digits");
  tfquant("calibrate", join(digits, "frozen.pb"), "--data", join(digits, "calibration.npy"), "-o", "q.pb", "-q",
    "--weights", "symmetric", "--weight-bits", "4", "--method", "percentile", "--percentile", "99", "--html", "calibration.html");
  const page = await open("calibration.html");
  assert.match(await page.textContent("#subtitle"), /^9 activations and 6 weights have ranges, the output sqnr \d+\.\d+ dB/);
  assert.ok(await page.locator(".item.poor, .item.fair, .item.good").count() >= 3, "layers are coloured");
  const list = page.locator("#panel ul", { has: page.locator("li", { hasText: "dB" }) }).first();
  const decibels = (await list.locator(".more").allTextContents()).filter((text) => text.includes("dB")).map(parseFloat);
  assert.ok(decibels.length >= 10);
  assert.deepEqual(decibels, [...decibels].sort((a, b) => a - b), "the worst first");
  await list.locator("a").first().click();
  assert.match(await page.textContent("#panel .chip"), /^\d+\.\d dB$/);
  assert.match(await page.textContent("#panel .reason"), /sqnr \d+\.\d+ dB, cosine 0\.\d+/);
  await find(page, "op:relu");
  assert.ok(await page.locator("#values .bar").count() > 10, "the values of what it makes");
  assert.equal(await page.locator("#values .end").count(), 2);
  assert.ok(await page.locator("#values .outside").count() >= 1, "what is cut off is shaded");
  await find(page, "op:fakequantwithminmaxvars /quant");
  assert.match(await page.textContent("#panel"), /outside\d+\.\d+ %/);
  await close(page, "calibration");
});

test("50,000 nodes in one flat scope, with names that attack", async () => {
  const text = ["node { name: 'in' op: 'Placeholder' attr { key: 'dtype' value { type: DT_FLOAT } } }"];
  const evil = "</script><script>document.body.dataset.evil=1</script>";
  text.push(`node { name: '${evil}' op: 'Relu' input: 'in' }`);
  let last = evil;
  for (let index = 0; index < 50000; index++) {
    text.push(`node { name: 'n${index}' op: '${index % 3 ? "Relu" : "<img src=x onerror=alert(1)>"}' input: '${last}' }`);
    last = `n${index}`;
  }
  writeFileSync(join(folder, "flat.pbtxt"), text.join("\n"));
  tfquant("explain", "flat.pbtxt", "--html", "flat.html");
  const started = Date.now();
  const page = await open("flat.html");
  assert.ok(Date.now() - started < 20000, "it opens");
  assert.ok(await page.locator(".item").count() < 300, "only what can be taken in is drawn");
  await find(page, "n31234");
  assert.equal(await page.textContent("#selected"), "n31234");
  assert.equal(await page.locator('.item[data-name="n31234"]').count(), 1);
  await find(page, "</script>");
  assert.equal(await page.textContent("#selected"), evil);
  assert.equal(await page.evaluate(() => document.body.dataset.evil), undefined);
  assert.equal(await page.locator("img").count(), 0);
  await close(page, "flat");
});
