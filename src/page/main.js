// Puts the page together.

const system = window.matchMedia("(prefers-color-scheme: dark)");
function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}
setTheme(system.matches);
system.addEventListener("change", (event) => setTheme(event.matches));

const on = (id, act) => document.getElementById(id).addEventListener("click", act);
on("fit", fit);
on("layers", () => { openLayers(); fit(); });
on("collapse", () => { for (const item of items) item.open = item === root; relayout(); fit(); });
on("zoom-in", () => zoom(1.3));
on("zoom-out", () => zoom(1 / 1.3));
on("theme", () => setTheme(document.documentElement.dataset.theme !== "dark"));
document.addEventListener("keydown", (event) => {
  if (event.target === filter || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); filter.focus(); filter.select(); }
  else if (event.key === "f") fit();
  else if (event.key === "Escape") { select(null); render(); }
  else if (event.key === "Enter" && selected && event.target === document.body) toggle(selected);
});
window.addEventListener("resize", renderSoon);

document.getElementById("title").textContent = data.title;
document.getElementById("subtitle").textContent = data.subtitle;
openLayers();
select(null);
fit();
document.body.dataset.ready = "yes";
