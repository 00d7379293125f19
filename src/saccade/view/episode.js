"use strict";
// How one episode is drawn. Everything from a run reaches the page as text: by textContent,
// attributes that hold numbers, and data URIs or file names of images that were made for this page.
// Nothing is ever parsed as markup.

const SVG = "http://www.w3.org/2000/svg";
const data = JSON.parse(document.getElementById("data").textContent);
const VIEW = 960, CLOSE_UP = 280, HIT = 160;  // the most pixels of width that a picture gets on the page

function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}

const SIGNS = { correct: "\u2713", incorrect: "\u2717" };
const sign = (episode) => SIGNS[episode.outcome] || "\u25cb";
const kind = (episode) => episode.outcome.split(" ")[0];
const mark = (episode) =>
  h("span", { class: "mark " + kind(episode) }, `${sign(episode)} ${episode.outcome}`);
// What leads to an episode: the same in every page that shows it.
const anchor = (episode) =>
  (episode.step === undefined ? "" : `step-${episode.step}/`) + `${episode.task}:${episode.sample}`;
const addressOf = (episode) => "#" + encodeURIComponent(anchor(episode));
const signed = (value) => (value === null ? "none" : (value > 0 ? "+" : "") + value.toFixed(2));

const choicesNode = (e) =>
  (e.choices.length ? h("ol", { type: "A" }, e.choices.map((choice) => h("li", {}, choice))) : "");

function episodeNode(e, name, withChoices) {
  const facts = h("dl", {});
  const fact = (term, ...value) => facts.append(h("dt", {}, term), h("dd", {}, ...value));
  fact("outcome", mark(e), e.stop === "answer" ? "" : ` (${e.stop})`);
  if (e.error) fact("error", h("span", { class: "error" }, e.error));
  fact("answer", e.answer === null ? "none" : e.answer);
  fact("gold answer", e.gold === null ? "unknown" : e.gold);
  if (e.model) fact("model", e.model);
  if (e.judge) fact("judge", e.judge);
  if (e.before) fact("before rescoring", e.before);
  if (e.reward !== null) {
    const terms = Object.entries(e.terms).map(([term, value]) => `${term} ${value}`).join(", ");
    fact("reward", `${e.reward} (${terms})`);
  }
  if (e.advantage !== undefined) fact("advantage", signed(e.advantage));
  const numbers = Object.entries(e.numbers).filter(([, value]) => value !== null);
  fact("numbers", numbers.map(([n, v]) => `${n} ${Math.round(v * 100) / 100}`).join(", "));
  return h("div", { class: "episode" },
    name ? h("h3", {}, name) : null, withChoices ? choicesNode(e) : null, facts,
    h("div", { class: "pictures" },
      e.pictures.map((picture, i) =>
        pictureNode(picture, e, `image_${i + 1}`, VIEW, numberNodes(e.marks, picture))),
      e.close_ups.map((picture) =>
        pictureNode(picture, e, "close-up, not shown to the model", CLOSE_UP))),
    e.turns.map((turn, i) => turnNode(turn, i + 1, e)));
}

function pictureNode(picture, e, title, most, numbers = []) {
  const [x1, y1, x2, y2] = picture.region, [width, height] = picture.size;
  const caption = h("figcaption", {}, `${title}, ${width}\u00d7${height} of pixels `
    + `[${picture.region.map(Math.round).join(", ")}]`);
  if (!picture.name) {
    return h("figure", {}, h("p", { class: "error" }, picture.note || "no pixels"), caption);
  }
  const image = h("img", { alt: title, decoding: "async" });
  image.src = data.pictures[picture.name];
  const longest = Math.max(width, height);
  image.style.width = Math.min(width * Math.max(1, 280 / longest), most) + "px";
  if (longest < 128) image.classList.add("small");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", [x1, y1, x2 - x1, y2 - y1].join(" "));
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const m of e.marks) {
    if (m.source !== picture.source) continue;
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("class", m.kind);
    ["x", "y"].forEach((name, i) => rect.setAttribute(name, m.box[i]));
    rect.setAttribute("width", Math.max(0, m.box[2] - m.box[0]));
    rect.setAttribute("height", Math.max(0, m.box[3] - m.box[1]));
    const label = document.createElementNS(SVG, "title");
    label.textContent = m.turn ? `${m.kind}, turn ${m.turn}` : `${m.kind} ${m.label}`;
    rect.append(label);
    svg.append(rect);
  }
  return h("figure", {}, h("div", { class: "frame" }, image, svg, numbers), caption);
}

// The number of its turn at the corner of each box on an image of the question, where boxes of several
// turns are drawn: once a turn, at the region that was shown if there is one. Numbers that would lie
// on each other stand side by side.
function numberNodes(marks, picture) {
  const [x1, y1, x2, y2] = picture.region, turns = new Map(), taken = new Map();
  for (const m of marks) {
    if (m.source !== picture.source || !m.turn) continue;
    if (m.kind === "shown" || !turns.has(m.turn)) turns.set(m.turn, m);
  }
  if (turns.size < 2) return [];
  return [...turns].map(([turn, m]) => {
    const corner = [(m.box[0] - x1) / (x2 - x1), (m.box[1] - y1) / (y2 - y1)];
    const [x, y] = corner.map((v) => Math.min(0.94, Math.max(0, v)));
    const place = `${Math.round(x * 12)} ${Math.round(y * 12)}`;
    const before = taken.get(place) || 0;
    taken.set(place, before + 1);
    const node = h("span", { class: "number " + m.kind, "aria-hidden": "true" }, String(turn));
    node.style.left = `calc(${100 * x}% + ${before * 1.4}em)`;
    node.style.top = 100 * y + "%";
    return node;
  });
}

function turnNode(turn, number, e) {
  const node = h("article", { class: "turn", "aria-label": `turn ${number}` },
    h("h3", {}, `turn ${number}`));
  if (turn.thought) node.append(h("p", { class: "thought" }, turn.thought));
  for (const problem of turn.problems) {
    node.append(h("p", { class: "problem" }, `problem: ${problem}`));
  }
  for (const call of turn.calls) {
    node.append(h("p", {}, "calls ", h("strong", {}, call.name)));
    if (call.code !== undefined) node.append(h("pre", {}, call.code));
    if (call.arguments !== undefined) node.append(h("pre", {}, call.arguments));
  }
  for (const result of turn.results) {
    if (result.error !== null) node.append(h("p", { class: "error" }, `error: ${result.error}`));
    if (result.hits) node.append(...hitsNodes(result, e));
    else node.append(...pieceNodes(result.pieces, e));
  }
  if (turn.dropped) {
    node.append(h("p", { class: "problem" }, `the observation was left out (${turn.dropped})`));
  }
  if (turn.answer !== null) {
    node.append(h("p", {}, "answers ", h("span", { class: "answer" }, turn.answer)));
  }
  node.append(h("details", {}, h("summary", {}, "text as written"), h("pre", {}, turn.text)));
  if (turn.tokens.length) {
    node.append(h("details", {}, h("summary", {}, "tokens; the unlikely ones are underlined"),
      h("p", { class: "tokens" }, turn.tokens.map(tokenNode))));
  }
  return node;
}

// What a tool returned: texts, then its pictures.
function pieceNodes(pieces, e) {
  const pictures = pieces.filter((piece) => piece.picture).map((piece) => piece.picture);
  return [...pieces.filter((piece) => !piece.picture).map((piece) => h("pre", {}, piece.text)),
    ...picturesNodes(pictures, e)];
}

const picturesNodes = (pictures, e) => (!pictures.length ? [] : [h("div", { class: "pictures" },
  pictures.map((picture) => pictureNode(picture, e, "observation", VIEW)))]);

// The hits of a search, each with its picture. A URL is text and no link: a stranger wrote it.
function hitsNodes(result, e) {
  const hits = result.hits.map((hit) => h("li", { value: hit.rank },
    h("div", {}, h("strong", {}, hit.title || "(no title)"),
      hit.url ? h("div", { class: "soft" }, hit.url) : null,
      hit.snippet ? h("div", {}, hit.snippet) : null,
      hit.facts ? h("div", { class: "soft" }, hit.facts) : null),
    hit.picture ? pictureNode(hit.picture, e, "observation", HIT) : null));
  const texts = result.pieces.filter((piece) => !piece.picture);
  return [h("p", { class: "soft" }, `${hits.length} found by ${result.by}`),
    h("ol", { class: "hits" }, hits), ...picturesNodes(result.others, e),
    h("details", {}, h("summary", {}, "what the tool returned, as text"),
      texts.map((piece) => h("pre", {}, piece.text)))];
}

function tokenNode([text, logProb]) {
  const p = Math.exp(logProb);
  const node = h("span", { title: `p = ${p.toPrecision(3)}` }, text);
  if (p < 0.9) node.style.borderBottomColor = `rgb(217 83 30 / ${Math.min(1, 0.25 + 0.8 * (1 - p))})`;
  return node;
}

// The attempts of a question, one a line: what came of each, and how much it is learned from.
function attemptsNode(sides) {
  const learned = sides.some((e) => e.advantage !== undefined);
  const most = Math.max(1, ...sides.map((e) => Math.abs(e.advantage || 0)));
  const head = ["attempt", "outcome", "answer", "tool calls", "reward"];
  if (learned) head.push("advantage");
  const rows = sides.map((e) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: addressOf(e) }, e.sample)), h("td", {}, mark(e)),
    h("td", {}, e.answer === null ? e.stop : e.answer), h("td", {}, e.numbers["tool calls"]),
    h("td", {}, e.reward === null ? "none" : String(Math.round(e.reward * 1000) / 1000)),
    learned ? h("td", {}, signed(e.advantage === undefined ? null : e.advantage),
      barNode(e.advantage || 0, most)) : null));
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows)));
}

function barNode(value, most) {
  const bar = h("span", { class: value < 0 ? "less" : "more" });
  bar.style.width = 50 * Math.abs(value) / most + "%";
  bar.style.left = (value < 0 ? 50 - 50 * Math.abs(value) / most : 50) + "%";
  return h("span", { class: "bar", "aria-hidden": "true" }, bar);
}
