// What is wrong with the page as it is laid out now: a list of sentences.
const wrong = [];
const short = (text) => text.trim().replace(/\s+/g, " ").slice(0, 40);

if (document.documentElement.scrollWidth > innerWidth)
  wrong.push(`the page is ${document.documentElement.scrollWidth} px wide in ${innerWidth}`);

// Every piece of text that can be seen, with the boxes of its lines.
const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, of = node.parentElement;
  if (!node.data.trim() || of.closest("script, style, svg")) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  const boxes = [...range.getClientRects()].filter((b) => b.width > 0 && b.height > 0);
  const style = getComputedStyle(of);
  if (boxes.length === 0 || style.visibility !== "visible") continue;
  if (of.closest("thead") && getComputedStyle(of.closest("thead")).position === "absolute") continue;
  texts.push({ node, of, boxes, style });
}

for (const { node, of, boxes } of texts) {
  for (const box of boxes) {
    if (box.left < -0.5 || box.right > innerWidth + 0.5)
      wrong.push(`"${short(node.data)}" reaches from ${box.left} to ${box.right}`);
    for (let up = of; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up);
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const edge = up.getBoundingClientRect();
      const inside = box.left >= edge.left - 1 && box.right <= edge.right + 1
        && box.top >= edge.top - 2 && box.bottom <= edge.bottom + 2;
      if (!inside) wrong.push(`"${short(node.data)}" is clipped by ${up.className || up.tagName}`);
    }
  }
}

// Words of two places must not share a spot; 1 px of leading may.
const lines = texts.flatMap(({ node, of, boxes }) => boxes.map((box) => ({ node, of, box })));
lines.sort((a, b) => a.box.top - b.box.top);
for (let i = 0; i < lines.length; i++) {
  for (let j = i + 1; j < lines.length && lines[j].box.top < lines[i].box.bottom; j++) {
    const a = lines[i].box, b = lines[j].box;
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    // Boxes of lines are taller than letters: a third of the smaller one is leading.
    if (wide > 1 && high > Math.min(a.height, b.height) / 3)
      wrong.push(`"${short(lines[i].node.data)}" lies on "${short(lines[j].node.data)}"`);
  }
}

// Contrast against the nearest ground that is painted.
const parse = (colour) => {
  const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
  return { r, g, b, a };
};
const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = ({ r, g, b }) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = (of) => {
  for (let up = of; up; up = up.parentElement) {
    const colour = parse(getComputedStyle(up).backgroundColor);
    if (colour.a === 1) return colour;
    if (colour.a > 0) wrong.push(`${up.className} has a ground that shines through`);
  }
  return { r: 255, g: 255, b: 255 };
};
for (const { node, of, style } of texts) {
  const [a, b] = [luminance(parse(style.color)), luminance(ground(of))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) wrong.push(`"${short(node.data)}" has a contrast of ${ratio.toFixed(2)}`);
}
return { wrong: [...new Set(wrong)], texts: texts.length };
