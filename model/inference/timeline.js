// The curve and the rows follow the video; a click on either goes to that time.
const video = document.querySelector("#player video");
const curve = document.getElementById("curve");
const svg = curve.querySelector("svg");
const now = curve.querySelector(".now");
const parts = [...document.querySelectorAll(".parts li")];
const { from, to, width, seconds } = Object.fromEntries(
  Object.entries(curve.dataset).map(([name, value]) => [name, Number(value)]));

function follow() {
  const time = video.currentTime;
  now.setAttribute("transform", `translate(${from + (Math.min(time, seconds) / seconds) * (to - from)} 0)`);
  for (const part of parts) {
    part.classList.toggle("playing", time >= Number(part.dataset.start) && time < Number(part.dataset.end));
  }
}

function playFrom(time) {
  video.currentTime = time;
  video.play().catch(() => {});
}

svg.addEventListener("click", (event) => {
  const box = svg.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * width;
  playFrom(Math.min(Math.max((x - from) / (to - from), 0), 1) * seconds);
});
for (const part of parts) {
  part.querySelector(".play").addEventListener("click", () => playFrom(Number(part.dataset.start)));
}
for (const event of ["timeupdate", "seeking", "loadedmetadata"]) video.addEventListener(event, follow);
follow();
