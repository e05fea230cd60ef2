// Plays one span after a click, and saves what was changed as a CSV.
const video = document.querySelector("#player video");
const spans = [...document.querySelectorAll(".spans li")];
const field = (span, name) => span.querySelector(`[name=${name}]`);
const values = (span) => ({
  id: span.dataset.id, keep: field(span, "keep").checked ? "yes" : "no",
  start: field(span, "start").value.trim(), end: field(span, "end").value.trim(), text: field(span, "text").value,
});
const before = new Map(spans.map((span) => [span, JSON.stringify(values(span))]));
let playing = null, isSaved = true;

function play(span) {
  const { start } = values(span);
  const source = new URL(span.dataset.source, location).href;
  const begin = () => { video.currentTime = Number(start) || 0; video.play().catch(() => {}); };
  playing?.classList.remove("playing");
  playing = span;
  span.classList.add("playing");
  document.getElementById("now").textContent = span.dataset.id;
  if (video.src === source) return begin();
  video.src = source;
  video.addEventListener("loadedmetadata", begin, { once: true });
}

video.addEventListener("timeupdate", () => {
  if (playing && video.currentTime >= Number(values(playing).end)) video.pause();
});

function note(span) {
  span.classList.toggle("changed", JSON.stringify(values(span)) !== before.get(span));
  span.classList.toggle("dropped", !field(span, "keep").checked);
  isSaved = false;
  const changed = document.querySelectorAll(".spans li.changed").length;
  document.getElementById("count").textContent = changed ? `${changed} not saved` : "";
}

const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
// Earlier corrections are in the page already, so that those saved are all that there are.
function save() {
  const wanted = spans.filter((span) => span.matches(".changed, .dropped, .corrected"));
  const lines = wanted.map((span) => Object.values(values(span)).map(cell).join(","));
  const text = ["id,keep,start,end,text", ...lines].join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = document.getElementById("save").dataset.name;
  link.click();
  isSaved = true;
  document.getElementById("count").textContent = `${lines.length} saved`;
}

for (const span of spans) {
  span.querySelector(".play").addEventListener("click", () => play(span));
  span.addEventListener("input", () => note(span));
}
document.getElementById("save").addEventListener("click", save);
window.addEventListener("beforeunload", (event) => { if (!isSaved) event.preventDefault(); });
