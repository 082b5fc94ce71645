"use strict";
// The page reads without this: it adds a line under the pointer, what stood there, and a choice
// of theme. Arrow keys move the line once the picture of harm has the focus.
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const isDark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const named = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    named();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", named);
  named();

  const chart = document.querySelector(".chart");
  const words = (text) => (text || "").split(" ");
  const harm = { reactive: words(chart.dataset.reactive), foreshard: words(chart.dataset.foreshard) };
  const seconds = Math.max(harm.reactive.length, harm.foreshard.length);
  const readout = document.createElement("output");
  readout.className = "now";
  document.querySelector("#harm .legend").append(readout);
  const rows = [...document.querySelectorAll(".cell[data-share]")].map((row) => ({
    now: row.querySelector(".now"),
    share: words(row.dataset.share),
    risk: words(row.dataset.risk),
  }));
  let at = 0;

  const show = (second) => {
    at = Math.min(seconds - 1, Math.max(0, second));
    root.style.setProperty("--hair", String((at + 0.5) / seconds));
    root.classList.add("probing");
    const sides = Object.entries(harm)
      .filter(([, series]) => series[at])
      .map(([side, series]) => `${side} ${series[at]}`);
    readout.textContent = `${at} s: ${sides.join(", ")}`;
    for (const row of rows) {
      const share = row.share[at];
      const [p, low, high] = (row.risk[at] || "-").split(",");
      row.now.hidden = false;
      row.now.textContent = [
        `${at} s`,
        share && share !== "-" ? `share ${(Number(share) / 10).toFixed(1)} %` : "",
        low === undefined ? "" : `P ${p} % (${low} to ${high} %)`,
      ].filter(Boolean).join(", ");
    }
  };
  const hide = () => {
    root.classList.remove("probing");
    readout.textContent = "";
    for (const row of rows) row.now.hidden = true;
  };
  for (const box of document.querySelectorAll(".box")) {
    box.addEventListener("pointermove", (event) => {
      const { left, width } = box.getBoundingClientRect();
      show(Math.floor(((event.clientX - left) / width) * seconds));
    });
    box.addEventListener("pointerleave", hide);
  }
  const harmBox = document.querySelector(".harm .box");
  harmBox.tabIndex = 0;
  harmBox.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (step === undefined && event.key !== "Escape") return;
    event.preventDefault();
    if (event.key === "Escape") hide(); else show(at + step);
  });
})();
