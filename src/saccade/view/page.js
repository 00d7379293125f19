"use strict";
// Everything from a run reaches the page as text: by textContent, attributes that hold numbers, and
// data URIs or file names of images that were made for this page. Nothing is ever parsed as markup.

const SVG = "http://www.w3.org/2000/svg";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const list = byId("list"), detail = byId("detail"), count = byId("count");
let rows = [], shown = [], current = null, boxes = true;

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

const key = (episode) => episode.task + "\u0000" + episode.sample;
const marks = { correct: "\u2713 correct", incorrect: "\u2717 incorrect" };
const mark = (episode) =>
  h("span", { class: "mark " + episode.outcome.split(" ")[0] },
    marks[episode.outcome] || "\u25cb " + episode.outcome);

function taskName(episode) {
  const family = episode.task.startsWith(episode.family) ? "" : episode.family + " \u00b7 ";
  return family + episode.task + (episode.sample ? " #" + episode.sample : "");
}

function toolCalls(episode) {
  const n = episode.numbers["tool calls"];
  return n === 1 ? "1 tool call" : `${n} tool calls`;
}

// One row for a task and sample; side[i] is its episode in run i.
function gather() {
  const found = new Map();
  data.runs.forEach((run, i) => {
    for (const episode of run.episodes) {
      if (!found.has(key(episode))) found.set(key(episode), { sides: data.runs.map(() => null) });
      found.get(key(episode)).sides[i] = episode;
    }
  });
  rows = [...found.values()];
  for (const row of rows) row.first = row.sides.find((side) => side);
}

const FILTERS = [
  ["family", "Family or benchmark", (e) => [e.family]],
  ["outcome", "Outcome", (e) => [e.outcome]],
  ["tool", "Tool", (e) => (e.tools.length ? e.tools : ["(none)"])],
  ["stop", "Stop reason", (e) => [e.stop]],
  ["reward", "Reward", (e) => [e.reward === null ? "(none)" : String(e.reward)]],
];

function fillFilters() {
  const form = byId("filters");
  const chosen = Object.fromEntries(FILTERS.map(([n]) => [n, form[n] ? form[n].value : ""]));
  const words = form.words ? form.words.value : "";
  form.replaceChildren();
  for (const [name, title, values] of FILTERS) {
    const options = new Map();
    for (const row of rows) {
      for (const side of row.sides) {
        if (side) for (const v of values(side)) options.set(v, (options.get(v) || 0) + 1);
      }
    }
    const sorted = [...options].sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
    const select = h("select", { name }, h("option", { value: "" }, "all"),
      sorted.map(([value, n]) => h("option", { value }, `${value} (${n})`)));
    select.value = chosen[name];
    if (select.selectedIndex < 0) select.value = "";
    form.append(h("label", {}, title, select));
  }
  if (data.runs.length > 1) {
    const select = h("select", { name: "differ" }, h("option", { value: "" }, "all"),
      h("option", { value: "1" }, "outcomes differ"));
    form.append(h("label", {}, "Runs", select));
  }
  const search = h("input", { name: "words", type: "search", autocomplete: "off" });
  search.value = words;
  form.append(h("label", { class: "wide" }, "Search in questions, answers and ids", search));
}

function matches(row) {
  const form = byId("filters");
  const sides = row.sides.filter((side) => side);
  for (const [name, , values] of FILTERS) {
    const wanted = form[name].value;
    if (wanted && !sides.some((side) => values(side).includes(wanted))) return false;
  }
  if (form.differ && form.differ.value) {
    const outcomes = new Set(row.sides.map((side) => (side ? side.outcome : "missing")));
    if (outcomes.size < 2) return false;
  }
  const words = form.words.value.trim().toLowerCase();
  const text = sides.map((e) => [e.id, e.question, e.answer, e.gold].join(" ")).join(" ");
  return !words || text.toLowerCase().includes(words);
}

function fillList() {
  shown = rows.filter(matches);
  list.replaceChildren(...shown.map((row, place) => {
    const e = row.first;
    const link = h("a", { href: "#" + place, "data-place": place },
      h("span", { class: "marks" }, row.sides.map((side) =>
        (side ? mark(side) : h("span", { class: "soft" }, "\u2013")))),
      h("span", { class: "soft task" }, taskName(e)),
      row.sides.length > 1 ? null : h("span", { class: "soft" }, toolCalls(e)),
      h("span", { class: "question" }, e.question));
    return h("li", {}, link);
  }));
  count.textContent = `${shown.length} of ${rows.length} episodes`;
}

function open(place, focus) {
  if (place < 0 || place >= shown.length) return;
  current = place;
  for (const link of list.querySelectorAll("a[aria-current]")) link.removeAttribute("aria-current");
  const link = list.children[place].firstChild;
  link.setAttribute("aria-current", "true");
  link.scrollIntoView({ block: "nearest" });
  document.body.classList.add("reading");
  const row = shown[place];
  const present = row.sides.map((side, i) => [side, data.runs[i]]).filter(([side]) => side);
  const back = h("button", { type: "button", class: "back" }, "\u2190 all episodes");
  back.addEventListener("click", leave);
  const choices = row.first.choices.map((choice) => h("li", {}, choice));
  detail.replaceChildren(back,
    h("h2", {}, row.first.question || "(no text)"),
    h("p", { class: "soft" }, row.first.id),
    h("ol", { type: "A" }, choices),
    h("div", { class: present.length > 1 ? "sides two" : "sides" },
      present.map(([side, run]) => episodeNode(side, present.length > 1 ? run.name : null))));
  detail.scrollTop = 0;
  if (focus) detail.focus({ preventScroll: true });
}

function leave() {
  document.body.classList.remove("reading");
  if (current !== null && list.children[current]) list.children[current].firstChild.focus();
}

function episodeNode(e, name) {
  const facts = h("dl", {});
  const fact = (term, ...value) => facts.append(h("dt", {}, term), h("dd", {}, ...value));
  fact("outcome", mark(e), e.stop === "answer" ? "" : ` (${e.stop})`);
  if (e.error) fact("error", h("span", { class: "error" }, e.error));
  fact("answer", e.answer === null ? "none" : e.answer);
  fact("gold answer", e.gold === null ? "unknown" : e.gold);
  if (e.model) fact("model", e.model);
  if (e.judge) fact("judge", e.judge);
  if (e.reward !== null) {
    const terms = Object.entries(e.terms).map(([term, value]) => `${term} ${value}`).join(", ");
    fact("reward", `${e.reward} (${terms})`);
  }
  const numbers = Object.entries(e.numbers).filter(([, value]) => value !== null);
  fact("numbers", numbers.map(([n, v]) => `${n} ${Math.round(v * 100) / 100}`).join(", "));
  return h("div", { class: "episode" },
    name ? h("h3", {}, name) : null, facts,
    h("div", { class: "key" }, h("span", { class: "true" }, "true box"),
      h("span", { class: "requested" }, "box in a call"),
      h("span", { class: "shown" }, "region that the tool showed")),
    h("div", { class: "pictures" },
      e.pictures.map((picture, i) => pictureNode(picture, e, `image_${i + 1}`)),
      e.close_ups.map((picture) => pictureNode(picture, e, "close-up, not shown to the model"))),
    e.turns.map((turn, i) => turnNode(turn, i + 1, e)));
}

function pictureNode(picture, e, title) {
  const [x1, y1, x2, y2] = picture.region, [width, height] = picture.size;
  const caption = h("figcaption", {}, `${title}, ${width}\u00d7${height} of pixels `
    + `[${picture.region.map(Math.round).join(", ")}]`);
  if (!picture.name) {
    return h("figure", {}, h("p", { class: "error" }, picture.note || "no pixels"), caption);
  }
  const image = h("img", { alt: title, decoding: "async" });
  image.src = data.pictures[picture.name];
  const longest = Math.max(width, height);
  image.style.width = Math.min(width * Math.max(1, 280 / longest), 960) + "px";
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
    label.textContent = `${m.kind} ${m.label}`;
    rect.append(label);
    svg.append(rect);
  }
  return h("figure", {}, h("div", { class: "frame" }, image, svg), caption);
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
    const pictures = h("div", { class: "pictures" });
    for (const piece of result.pieces) {
      if (piece.picture) pictures.append(pictureNode(piece.picture, e, "observation"));
      else node.append(h("pre", {}, piece.text));
    }
    if (pictures.children.length) node.append(pictures);
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

function tokenNode([text, logProb]) {
  const p = Math.exp(logProb);
  const node = h("span", { title: `p = ${p.toPrecision(3)}` }, text);
  if (p < 0.9) node.style.borderBottomColor = `rgb(217 83 30 / ${Math.min(1, 0.25 + 0.8 * (1 - p))})`;
  return node;
}

const KEYS = [
  ["j, \u2193", "next episode", () => open(current === null ? 0 : current + 1)],
  ["k, \u2191", "previous episode", () => open(current === null ? 0 : current - 1)],
  ["Enter", "read the episode", () => detail.focus()],
  ["Escape", "back to the list", leave],
  ["/", "search", () => byId("filters").words.focus()],
  ["b", "show or hide boxes", () => {
    boxes = !boxes;
    document.body.classList.toggle("hide-boxes", !boxes);
  }],
  ["?", "these keys", () => byId("help").showModal()],
];
const ACTIONS = {
  j: 0, ArrowDown: 0, k: 1, ArrowUp: 1, Enter: 2, Escape: 3, "/": 4, b: 5, "?": 6,
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const inDetail = detail.contains(event.target) && event.key.startsWith("Arrow");
  const own = event.key === "Enter" && event.target !== document.body;
  if (!(event.key in ACTIONS) || inDetail || own) return;
  event.preventDefault();
  KEYS[ACTIONS[event.key]][2]();
}

function header() {
  byId("runs").replaceChildren(...data.runs.map((run) => h("p", {}, h("strong", {}, run.name), " ",
    run.line, ...run.notes.map((note) => h("span", { class: "note" }, " " + note)))));
}

function refresh() {
  header();
  gather();
  fillFilters();
  fillList();
}

async function follow() {
  try {
    const reply = await fetch("data.json?version=" + encodeURIComponent(data.version),
      { cache: "no-store" });
    if (reply.status === 200) {
      const reading = current !== null && shown[current] ? key(shown[current].first) : null;
      Object.assign(data, await reply.json());
      refresh();
      const place = shown.findIndex((row) => key(row.first) === reading);
      if (place >= 0) open(place);
    }
  } catch (error) {
    count.textContent = "the server has stopped: this is its last state";
  }
  setTimeout(follow, 2000);
}

byId("help").append(h("h2", {}, "Keys"), h("dl", {}, KEYS.flatMap(([keys, what]) =>
  [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what)])),
  h("form", { method: "dialog" }, h("button", {}, "Close")));
byId("help-button").addEventListener("click", () => byId("help").showModal());
for (const kind of ["input", "change"]) {
  byId("filters").addEventListener(kind, () => { current = null; fillList(); });
}
byId("filters").addEventListener("submit", (event) => event.preventDefault());
list.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link) return;
  event.preventDefault();
  open(Number(link.dataset.place), true);
});
document.addEventListener("keydown", pressed);
refresh();
if (data.follow) follow();
else if (shown.length && matchMedia("(min-width: 761px)").matches) open(0);
