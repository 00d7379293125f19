// The list of episodes, what is chosen in it, and the keys. An entry is what stands side by side:
// the attempts of a question in one run, or one attempt of it in several runs.

const byId = (id) => document.getElementById(id);
const list = byId("list"), detail = byId("detail"), count = byId("count");
const SEVERAL = 2;  // from more sides on the list shows signs without words
let rows = [], shown = [], current = null, boxes = true;

const key = (episode) => JSON.stringify([episode.step, episode.task, episode.sample]);

function taskName(row) {
  const e = row.first;
  const family = e.task.startsWith(e.family) ? "" : e.family + " \u00b7 ";
  return family + e.task + (row.attempts || !e.sample ? "" : " #" + e.sample);
}

function aside(row) {
  if (row.sides.length === 1) {
    const n = row.first.numbers["tool calls"];
    return n === 1 ? "1 tool call" : `${n} tool calls`;
  }
  const right = row.sides.filter((e) => e && e.outcome === "correct").length;
  return row.attempts ? `${right} of ${row.sides.length} correct` : null;
}

// One row for the attempts of a question if there is one run; else one for each attempt, and
// sides[i] is that of run i.
function gather() {
  const found = new Map(), attempts = data.runs.length === 1;
  data.runs.forEach((run, i) => {
    for (const episode of run.episodes) {
      const name = attempts ? JSON.stringify([episode.step, episode.task]) : key(episode);
      if (!found.has(name)) {
        found.set(name, { attempts, sides: attempts ? [] : data.runs.map(() => null) });
      }
      const { sides } = found.get(name);
      if (attempts) sides.push(episode);
      else sides[i] = episode;
    }
  });
  rows = [...found.values()];
  for (const row of rows) {
    if (row.attempts) row.sides.sort((a, b) => a.sample - b.sample);
    row.first = row.sides.find((side) => side);
  }
  const step = (row) => (row.first.step === undefined ? 0 : row.first.step);
  rows.sort((a, b) => step(a) - step(b));
}

const FILTERS = [
  ["step", "Step", (e) => (e.step === undefined ? [] : [String(e.step)])],
  ["family", "Family or group", (e) => (e.groups && e.groups.length ? e.groups : [e.family])],
  ["outcome", "Outcome", (e) => [e.outcome]],
  ["tool", "Tool", (e) => (e.tools.length ? e.tools : ["(none)"])],
  ["stop", "Stop reason", (e) => [e.stop]],
  ["reward", "Reward", (e) => [e.reward === null ? "(none)" : String(e.reward)]],
];

// What became of an attempt from the first run to another: pairs of what is scored in both.
const FLIPS = { gained: [false, true], lost: [true, false], "both right": [true, true],
  "neither right": [false, false] };
const SCORED = { correct: true, incorrect: false };

function flipped(row, flip, run) {
  const right = [row.sides[0], row.sides[run]].map((e) => e && SCORED[e.outcome]);
  return right[0] === FLIPS[flip][0] && right[1] === FLIPS[flip][1];
}

// Outcomes that differ and, between runs, what each of them gained and lost against the first.
function comparisonOptions() {
  const options = [h("option", { value: "" }, "all"), h("option", { value: "differ" }, "outcomes differ")];
  data.runs.slice(1).forEach((run, i) => {
    const of = data.runs.length > 2 ? `${run.name}: ` : "";
    for (const flip of Object.keys(FLIPS)) {
      const n = rows.filter((row) => flipped(row, flip, i + 1)).length;
      options.push(h("option", { value: `${flip}/${i + 1}` }, `${of}${flip} (${n})`));
    }
  });
  return options;
}

function compares(row, wanted) {
  if (wanted === "differ") {
    return new Set(row.sides.map((side) => (side ? side.outcome : "missing"))).size > 1;
  }
  const [flip, run] = wanted.split("/");
  return flipped(row, flip, Number(run));
}

function fillFilters() {
  const form = byId("filters");
  const chosen = Object.fromEntries(FILTERS.map(([n]) => [n, form[n] ? form[n].value : ""]));
  const words = form.words ? form.words.value : "";
  const differ = form.differ ? form.differ.value : "";
  form.replaceChildren();
  for (const [name, title, values] of FILTERS) {
    const options = new Map();
    for (const row of rows) {
      for (const side of row.sides) {
        if (side) for (const v of values(side)) options.set(v, (options.get(v) || 0) + 1);
      }
    }
    if (name === "step" && !options.size) continue;
    const sorted = [...options].sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
    const select = h("select", { name }, h("option", { value: "" }, "all"),
      sorted.map(([value, n]) => h("option", { value }, `${value} (${n})`)));
    select.value = chosen[name];
    if (select.selectedIndex < 0) select.value = "";
    form.append(h("label", {}, title, select));
  }
  if (rows.some((row) => row.sides.length > 1)) {
    const select = h("select", { name: "differ" }, comparisonOptions());
    select.value = differ;
    if (select.selectedIndex < 0) select.value = "";
    form.append(h("label", {}, data.runs.length > 1 ? "Runs" : "Attempts", select));
  }
  const search = h("input", { name: "words", type: "search", autocomplete: "off" });
  search.value = words;
  form.append(h("label", { class: "wide" }, "Search in questions, answers and ids", search));
}

function matches(row) {
  const form = byId("filters");
  const sides = row.sides.filter((side) => side);
  for (const [name, , values] of FILTERS) {
    const wanted = form[name] ? form[name].value : "";
    if (wanted && !sides.some((side) => values(side).includes(wanted))) return false;
  }
  if (form.differ && form.differ.value && !compares(row, form.differ.value)) return false;
  const words = form.words.value.trim().toLowerCase();
  const text = sides.map((e) => [e.id, e.question, e.answer, e.gold].join(" ")).join(" ");
  return !words || text.toLowerCase().includes(words);
}

function marksNode(sides) {
  const few = sides.length <= SEVERAL;
  return h("span", { class: few ? "marks" : "marks many" }, sides.map((side) => {
    if (!side) return h("span", { class: "soft" }, "\u2013");
    return few ? mark(side)
      : h("span", { class: "mark " + kind(side), title: side.outcome }, sign(side));
  }));
}

function fillList() {
  shown = rows.filter(matches);
  let step;
  const items = [];
  shown.forEach((row, place) => {
    const e = row.first;
    if (e.step !== undefined && e.step !== step) {
      step = e.step;
      const kept = data.runs.flatMap((run) => run.steps || []).find((s) => s.step === step);
      items.push(h("li", { class: "step" },
        h("strong", {}, `step ${step}`), h("span", { class: "soft" }, kept ? kept.line : "")));
    }
    items.push(h("li", {}, h("a", { href: addressOf(e), "data-place": place },
      marksNode(row.sides), h("span", { class: "soft task" }, taskName(row)),
      h("span", { class: "soft" }, aside(row)), h("span", { class: "question" }, e.question))));
  });
  list.replaceChildren(...items);
  const episodes = (some) => some.reduce((n, row) => n + row.sides.length, 0);
  const grouped = rows.some((row) => row.attempts && row.sides.length > 1);
  count.textContent = grouped
    ? `${shown.length} of ${rows.length} questions, ${episodes(shown)} attempts`
    : `${shown.length} of ${rows.length} episodes`;
}

const linkTo = (place) => list.querySelector(`a[data-place="${place}"]`);

// Show an entry. `side` is the episode of it that was asked for; a choice of the reader is noted in
// the address.
function open(place, { focus = false, side = null, note = true } = {}) {
  if (place < 0 || place >= shown.length) return;
  current = place;
  for (const link of list.querySelectorAll("a[aria-current]")) link.removeAttribute("aria-current");
  const link = linkTo(place);
  link.setAttribute("aria-current", "true");
  link.scrollIntoView({ block: "nearest" });
  document.body.classList.add("reading");
  const row = shown[place];
  const named = row.sides.length > 1;
  const name = (e, i) => (row.attempts ? `attempt ${e.sample}` : data.runs[i].name);
  const present = row.sides.map((e, i) => [e, e && name(e, i)]).filter(([e]) => e);
  const back = h("button", { type: "button", class: "back" }, "\u2190 all episodes");
  back.addEventListener("click", leave);
  // Runs may have shown the options in other orders: then each has its own list.
  const alike = present.every(([e]) => e.choices.join("\n") === row.first.choices.join("\n"));
  const nodes = present.map(([e, title]) => episodeNode(e, named ? title : null, !alike));
  detail.replaceChildren(back,
    h("h2", {}, row.first.question || "(no text)"),
    h("p", { class: "soft" }, named && row.attempts ? row.first.task : row.first.id),
    alike ? choicesNode(row.first) : "",
    row.attempts && named ? attemptsNode(present.map(([e]) => e)) : "",
    h("div", { class: "key" }, h("span", { class: "true" }, "true box"),
      h("span", { class: "requested" }, "box in a call"),
      h("span", { class: "shown" }, "region that the tool showed")),
    h("div", { class: "sides" + (nodes.length > 1 ? " two" : "") }, nodes));
  detail.scrollTop = 0;
  if (nodes.length > 1 && side) turnTo(nodes[present.findIndex(([e]) => e === side)]);
  if (note) noteAddress(row.first);
  if (focus) detail.focus({ preventScroll: true });
}

// Bring one of several episodes side by side into view, or to the top where they stand in a column.
function turnTo(node) {
  const sides = node.parentElement;
  node.classList.add("asked");
  if (sides.scrollWidth > sides.clientWidth) sides.scrollLeft = node.offsetLeft - sides.offsetLeft;
  else if (node.offsetTop > sides.offsetTop) node.scrollIntoView();
}

function noteAddress(episode) {
  try {
    history.replaceState(null, "", addressOf(episode));
  } catch (error) {
    // A page without an address of its own, as in a frame, has none to note anything in.
  }
}

// Open what the address asks for; a filter that hides it is taken off.
function openAddress() {
  let wanted = location.hash.slice(1);
  try {
    wanted = decodeURIComponent(wanted);
  } catch (error) {
    return false;
  }
  const has = (row) => row.sides.find((e) => e && anchor(e) === wanted);
  const row = wanted && rows.find(has);
  if (!row) return false;
  if (!shown.includes(row)) {
    byId("filters").reset();
    fillList();
  }
  open(shown.indexOf(row), { side: has(row), note: false });
  return true;
}

function leave() {
  document.body.classList.remove("reading");
  if (current !== null && linkTo(current)) linkTo(current).focus();
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
      if (place >= 0) open(place, { note: false });
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
  open(Number(link.dataset.place), { focus: true });
});
document.addEventListener("keydown", pressed);
window.addEventListener("hashchange", openAddress);
refresh();
const asked = openAddress();
if (data.follow) follow();
else if (!asked && shown.length && matchMedia("(min-width: 761px)").matches) open(0, { note: false });
