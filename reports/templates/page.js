// The page says everything without this script. It lets a reader choose the baseline and what is
// shown, sort, look at the rounds of a cell and save a table. What is chosen stays in the address.
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// The data is JSON, compressed; its records stand column by column, as reports/embedded.py says.
const unpack = async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
};
const records = ([lengths, ...columns]) => {
  const places = columns.map(() => 0);
  return lengths.map((length) =>
    columns.slice(0, length).map((column, at) => column[places[at]++]),
  );
};
const arrange = ({ tables, rows, pairs, ...others }) => {
  const [allRows, allPairs] = [records(rows), records(pairs)];
  let [row, pair] = [0, 0];
  const phase = ([rowCount, pairCount]) => ({
    rows: allRows.slice(row, (row += rowCount)),
    pairs: allPairs.slice(pair, (pair += pairCount)),
  });
  const table = (phases) =>
    Object.fromEntries(Object.entries(phases).map(([name, counts]) => [name, phase(counts)]));
  return { ...others, tables: tables.map(table) };
};
const data = arrange(await unpack($("#data").textContent));

const form = $("form.filter");
const matrices = $$("table.matrix");
const choices = $$("table.choices");
const workloads = $$("details[data-table]");
const SIGNS = { f: "▼", s: "▲", e: "=", a: "?" };
const WORDS = { f: "faster", s: "slower", e: "same", a: "ambiguous" };
const LEVELS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
const WITHIN_TEXT = /[\u2068\u2069]/g;

// Numbers as the page writes them.
const number = (value, digits = 3) =>
  value.toLocaleString("en", { minimumSignificantDigits: digits, maximumSignificantDigits: digits });
const seconds = (value, digits = 3) => {
  const [factor, unit] = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]].find(
    ([least], place) => value >= least || place === 3,
  );
  return `${number(value / factor, digits)} ${unit}`;
};
const element = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
const clean = (text) => text.replace(WITHIN_TEXT, "").trim();

// A name stands shortened in narrow columns, with more of it in its title: the implementation that it begins.
const known = new Map();
const implementationOf = (text) => {
  const name = clean(text);
  if (!known.has(name)) {
    const start = name.replace(/…$/, "");
    let found = data.implementations.findIndex((each) => clean(each) === name);
    if (found < 0 && start !== name)
      found = data.implementations.findIndex((each) => clean(each).startsWith(start));
    known.set(name, found);
  }
  return known.get(name);
};
const whose = (head) => {
  const short = $("span", head);
  const found = short ? implementationOf(short.title) : -1;
  return found < 0 ? implementationOf((short ?? head).textContent) : found;
};
const phases = [...form.phase.options].map((option) => option.value).filter(Boolean);
const phaseOf = (text) => phases.find((phase) => text === phase || text.startsWith(`${phase},`));

// What the page's own tables are made of, found once.
const groups = $$("tbody").flatMap((body) => {
  const head = $("th[scope=rowgroup]", body);
  const phase = head && phaseOf(head.textContent.trim());
  return phase ? [{ body, phase }] : [];
});
const isByImplementation = (table) =>
  $("thead th", table)?.textContent.trim().startsWith("Implementation");
const rows = $$("table:not(.matrix) tbody th[scope=row]").flatMap((head) => {
  if (!isByImplementation(head.closest("table"))) return [];
  const implementation = whose(head);
  return implementation < 0 ? [] : [{ row: head.parentElement, implementation }];
});
const columns = new Map(matrices.map((table) => [table, $$("thead th", table).map(whose)]));

// The ratio of one row of a phase to another, whichever way round it is stored.
const compare = (phase, first, second) => {
  for (const [left, right, ratio, half, verdicts] of phase.pairs) {
    if (left === first && right === second) return { ratio, half, verdict: verdicts[0] };
    if (left === second && right === first) return { ratio: 1 / ratio, half, verdict: verdicts[1] };
  }
  return null;
};
const range = ({ ratio, half }) =>
  half === null
    ? "unknown: one round"
    : `${number(ratio * Math.exp(-half))}–${number(ratio * Math.exp(half))}`;
// Whether any shown implementation has this verdict against the baseline, in the phase chosen or in any.
const isTold = (number_, verdict, baseline) =>
  Object.entries(data.tables[number_]).some(
    ([name, phase]) =>
      (!form.phase.value || form.phase.value === name) &&
      phase.rows.some((_, place) => {
        const against = phase.rows.findIndex((each) => each[0] === baseline);
        const found = against >= 0 && against !== place && compare(phase, place, against);
        return found && !isHidden(phase.rows[place][0]) && WORDS[found.verdict] === verdict;
      }),
  );
const strength = (ratio) => {
  const factor = Math.max(ratio, 1 / ratio);
  return factor >= 4 ? "far" : factor >= 2 ? "mid" : "near";
};

const original = new Map();
const keep = (cell) => {
  if (!original.has(cell)) original.set(cell, [cell.className, cell.innerHTML]);
};
const restore = (cell) => {
  if (original.has(cell)) [cell.className, cell.innerHTML] = original.get(cell);
};

// Writes the ratios of a table of the first kind, workloads by implementations, against a baseline.
const drawMatrix = (table, baseline) => {
  const counts = new Map();
  for (const row of $$("tbody tr", table)) {
    const phase = data.tables[row.dataset.table][table.dataset.phase];
    const against = phase?.rows.findIndex((each) => each[0] === baseline) ?? -1;
    [...row.cells].slice(1).forEach((cell, place) => {
      if (baseline === 0) return restore(cell);
      keep(cell);
      const implementation = columns.get(table)[place + 1];
      const own = phase?.rows.findIndex((each) => each[0] === implementation) ?? -1;
      if (own < 0 || phase.rows[own].length < 2) return;
      const best = cell.classList.contains("best") ? " best" : "";
      const found = own !== against && compare(phase, own, against);
      cell.className = found ? `${WORDS[found.verdict]} ${strength(found.ratio)}${best}` : best;
      const time = seconds(phase.rows[own][1]);
      cell.textContent = found ? `${number(found.ratio)}× ${SIGNS[found.verdict]}` : time;
      cell.append(element("small", found ? range(found) : own === against ? "baseline" : "no ratio"));
      if (!found) return;
      const told = counts.get(implementation) ?? {};
      told[WORDS[found.verdict]] = (told[WORDS[found.verdict]] ?? 0) + 1;
      counts.set(implementation, told);
    });
  }
  const caption = $("caption .finding", table);
  if (baseline === 0) return restore(caption);
  keep(caption);
  const told = [...counts].map(([implementation, verdicts]) => {
    const said = Object.entries(verdicts).map(([verdict, amount]) => `${verdict} in ${amount}`);
    return `${data.implementations[implementation]} is ${said.join(", ")}`;
  });
  caption.textContent = `${table.dataset.phase}, ${table.dataset.setting}: against ${
    data.implementations[baseline]
  }, ${told.join("; ") || "there are no ratios"}.`;
};

// Rows of a workload's table, in the order in which the data has them.
const rowsOf = (details) =>
  $$("tbody", details).flatMap((body) => {
    const name = $("th[scope=rowgroup]", body).textContent.trim();
    const phase = data.tables[details.dataset.table][name];
    return $$("tr", body)
      .slice(1)
      .map((row, place) => ({ row, name, phase, place }));
  });
const drawWorkload = (details, baseline) => {
  if (details.dataset.drawn === String(baseline)) return;
  details.dataset.drawn = baseline;
  for (const { row, phase, place } of rowsOf(details)) {
    if (row.cells.length < 7) continue;
    const [ratio, interval, verdict] = [row.cells[3], row.cells[4], row.cells[5]];
    for (const cell of [ratio, interval, verdict]) baseline === 0 ? restore(cell) : keep(cell);
    if (baseline === 0) continue;
    const against = phase.rows.findIndex((each) => each[0] === baseline);
    const found = against >= 0 && against !== place && compare(phase, place, against);
    ratio.textContent = found ? `${number(found.ratio)}×` : "";
    interval.textContent = found ? range(found) : "";
    verdict.className = found ? WORDS[found.verdict] : "";
    verdict.textContent = found
      ? `${SIGNS[found.verdict]} ${WORDS[found.verdict]}`
      : against === place
        ? "baseline"
        : "no ratio";
    if (row.classList.contains("best")) verdict.append(" · fastest");
  }
};

// State: the form, a sorted column, and the cell that is looked at.
const state = { sort: "", cell: "" };
const style = document.head.appendChild(element("style"));
const isHidden = (implementation) => !form.elements[`show-${implementation}`].checked;
const baselineNow = () => Number(form.baseline.value);

const apply = () => {
  const baseline = baselineNow();
  const [phase, setting, verdict] = [form.phase.value, form.setting.value, form.verdict.value];
  const text = form.workload.value.trim().toLowerCase();
  const fits = (each) =>
    (!phase || !each.dataset.phase || each.dataset.phase === phase) &&
    (!setting || !each.dataset.setting || each.dataset.setting === setting);
  for (const block of $$("[data-phase], [data-setting]")) block.hidden = !fits(block);
  for (const group of groups) group.body.hidden = Boolean(phase) && group.phase !== phase;
  for (const each of rows) each.row.hidden = isHidden(each.implementation);
  for (const table of matrices) {
    drawMatrix(table, baseline);
    const places = columns.get(table).map((each) => each >= 0 && isHidden(each));
    for (const row of table.rows) [...row.cells].forEach((cell, at) => (cell.hidden = places[at]));
  }
  for (const table of matrices)
    for (const row of $$("tbody tr", table)) {
      const named = row.cells[0].textContent.toLowerCase().includes(text);
      const told = !verdict || [...row.cells].some((cell) => !cell.hidden && cell.classList.contains(verdict));
      row.hidden = !(named && told);
    }
  const shown = new Set();
  for (const details of workloads) {
    const wanted = !verdict || isTold(details.dataset.table, verdict, baseline);
    details.hidden = !(fits(details) && wanted && details.dataset.name.toLowerCase().includes(text));
    if (!details.hidden) shown.add(details.dataset.table);
    if (details.open) drawWorkload(details, baseline);
  }
  for (const table of choices) {
    table.parentElement.hidden ||= $$("thead [data-phase]", table).every((head) => head.hidden);
    for (const row of table.tBodies[0].rows)
      row.hidden = !row.dataset.tables.split(" ").some((number_) => shown.has(number_));
  }
  // Series of a hidden implementation leave the figures, unless another has their colour.
  const colours = data.implementations.map((_, at) => (at === 0 ? 0 : 1 + ((at - 1) % 7)));
  const visible = new Set(colours.filter((_, at) => !isHidden(at)));
  style.textContent = [...new Set(colours)]
    .filter((colour) => !visible.has(colour))
    .map((colour) => `figure svg [style*="--series-${colour})"]{display:none}`)
    .join("");
  $("output", form).textContent = `${shown.size} of ${workloads.length} workloads shown`;
  $(".note", form).hidden = baseline === 0;
};

const write = (anchor = "") => {
  const given = new URLSearchParams();
  if (baselineNow()) given.set("baseline", data.implementations[baselineNow()]);
  for (const name of ["phase", "setting", "verdict", "workload"])
    if (form[name].value) given.set(name, form[name].value);
  data.implementations.forEach((name, at) => isHidden(at) && given.append("hide", name));
  for (const name of ["sort", "cell"]) if (state[name]) given.set(name, state[name]);
  const parts = [anchor, given.toString()].filter(Boolean);
  history.replaceState(null, "", `#${parts.join("&")}`);
};

const read = () => {
  const hash = location.hash.slice(1);
  const [first] = hash.split("&", 1);
  const anchor = first.includes("=") ? "" : first;
  if (anchor && anchor === hash && started) return write(anchor); // A link within the page.
  const given = new URLSearchParams(hash.slice(anchor.length));
  const chosen = data.implementations.indexOf(given.get("baseline") ?? "");
  form.baseline.value = Math.max(0, chosen);
  for (const name of ["phase", "setting", "verdict"]) {
    const values = [...form[name].options].map((option) => option.value);
    form[name].value = values.includes(given.get(name)) ? given.get(name) : "";
  }
  form.workload.value = given.get("workload") ?? "";
  const hidden = new Set(given.getAll("hide"));
  data.implementations.forEach((name, at) => (form.elements[`show-${at}`].checked = !hidden.has(name)));
  apply();
  state.sort = given.get("sort") ?? "";
  const [table, column, direction] = state.sort.split(".");
  if (sortable[table]) sort(sortable[table], Number(column), direction === "down");
  if (given.get("cell")) look(given.get("cell"));
  if (anchor && anchor !== hash) document.getElementById(anchor)?.scrollIntoView();
};

// Sorting by what a cell says: a number with its unit, else its words.
const UNITS = { ns: 1e-9, µs: 1e-6, ms: 1e-3, "%": 0.01, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const valueOf = (cell) => {
  const text = cell.firstChild?.textContent ?? "";
  const found = text.replaceAll(",", "").match(/^\s*(\d[\d.]*)\s*(\S*)/);
  if (!found) return cell.matches("th") ? clean(text) : Infinity;
  if (cell.matches("th")) return clean(text);
  return Number(found[1]) * (UNITS[found[2]] ?? UNITS[found[2][0]] ?? 1);
};
const sortable = $$("table.sortable");
const sort = (table, column, down) => {
  $$("thead th", table).forEach((head, at) =>
    at === column ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort"),
  );
  for (const body of table.tBodies) {
    const ordered = [...body.rows]
      .filter((row) => !$("th[scope=rowgroup]", row))
      .map((row) => [valueOf(row.cells[column]), row])
      .sort(([left], [right]) =>
        typeof left === "string"
          ? left.localeCompare(right, "en", { numeric: true })
          : (left === Infinity) - (right === Infinity) || left - right || 0,
      );
    if (down) ordered.reverse();
    body.append(...ordered.map(([, row]) => row));
  }
};
sortable.forEach((table, number_) =>
  $$("thead th", table).forEach((head, column) => {
    const button = element("button", undefined, { type: "button", class: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      sort(table, column, down);
      state.sort = `${number_}.${column}.${down ? "down" : "up"}`;
      write();
    });
  }),
);

// Saving a table as it is shown.
const lines = (table) => {
  const body = [];
  const grouped = $("th[scope=rowgroup]", table) !== null;
  const textOf = (cell) => clean([...cell.childNodes].filter((node) => !node.matches?.("button.look")).map((node) => node.textContent).join(" ").replace(/\s+/g, " "));
  const shownCells = (row) => [...row.cells].filter((cell) => !cell.hidden).flatMap((cell) => [textOf(cell), ...Array(cell.colSpan - 1).fill("")]);
  const head = shownCells(table.tHead.rows[0]);
  for (const part of [...table.tBodies].filter((each) => !each.hidden)) {
    let group = "";
    let [spanning, left] = ["", 0]; // A head of several rows stands in each of them.
    for (const row of [...part.rows].filter((each) => !each.hidden)) {
      if ($("th[scope=rowgroup]", row)) {
        group = textOf(row.cells[0]);
        continue;
      }
      const cells = shownCells(row);
      if (left-- > 0) cells.unshift(spanning);
      else [spanning, left] = [cells[0], row.cells[0].rowSpan - 1];
      body.push(grouped ? [group, ...cells] : cells);
    }
  }
  return [grouped ? ["", ...head] : head, ...body];
};
const toCsv = (table) =>
  lines(table)
    .map((line) => line.map((text) => `"${(/^[=+\-@\t\r]/.test(text) ? "'" : "") + text.replaceAll('"', '""')}"`).join(","))
    .join("\n");
const toMarkdown = (table) => {
  const plain = (text) => text.replace(/[\\`*_[\]~<>|]/g, "\\$&");
  const [head, ...body] = lines(table).map((line) => `| ${line.map(plain).join(" | ")} |`);
  return [head, `|${" --- |".repeat(lines(table)[0].length)}`, ...body].join("\n");
};
const save = (text, kind, name) => {
  const link = element("a", undefined, {
    href: URL.createObjectURL(new Blob([`${text}\n`], { type: `text/${kind}` })),
    download: `${name.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60) || "table"}.${kind === "csv" ? "csv" : "md"}`,
  });
  link.click();
  URL.revokeObjectURL(link.href);
};
const equip = (table) => {
  if (!table.caption || !table.tHead || $(".save", table.caption)) return;
  const name = table.caption.textContent;
  const box = element("span", undefined, { class: "save" });
  for (const [label, kind, write_] of [["CSV", "csv", toCsv], ["Markdown", "markdown", toMarkdown]]) {
    const button = element("button", label, { type: "button", "aria-label": `Save this table as ${label}` });
    button.addEventListener("click", () => save(write_(table), kind, name));
    box.append(button);
  }
  table.caption.append(" ", box);
};

// A workload's rows get a button for their rounds when they are first shown.
const unfold = (details) => {
  $$("table", details).forEach(equip);
  if (!details.dataset.table) return;
  drawWorkload(details, baselineNow());
  if ($("button.look", details)) return;
  for (const { row, name, phase, place } of rowsOf(details)) {
    if ((phase.rows[place]?.length ?? 1) < 2) continue;
    const who = data.implementations[phase.rows[place][0]];
    const button = element("button", "rounds", { type: "button", class: "look", "aria-label": `Rounds of ${who}, ${name}` });
    button.addEventListener("click", () => look(`${details.dataset.table}.${name}.${place}`));
    row.cells[0].append(" ", button);
  }
};
document.addEventListener("toggle", (event) => event.target.open && event.target.matches("details") && unfold(event.target), true);

// The rounds of one cell: in the order of their measurement, and how they are distributed.
const dialog = $("dialog");
const drawing = (name, attributes, text) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};
const WIDTH = 600, HEIGHT = 190, LEFT = 62, BOTTOM = 26, TOP = 8;
const quantile = (sorted, share) => {
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  return low + (at % 1) * (sorted[Math.ceil(at)] - low);
};
const plot = (title, label) => {
  const svg = drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  svg.append(drawing("text", { x: WIDTH, y: HEIGHT - 2, "text-anchor": "end" }, title));
  svg.append(drawing("path", { class: "frame", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH}` }));
  return svg;
};
const look = (key) => {
  const [number_, name, place] = key.split(".");
  const details = workloads.find((each) => each.dataset.table === number_);
  const cell = data.tables[number_]?.[name]?.rows[place];
  if (!details || !cell || cell.length < 2) return;
  const [implementation, estimate, below, span, drawn, disturbed = []] = cell;
  const low = estimate * Math.exp(-below);
  const shares = drawn.split(" ").map((text) => [...text].map((letter) => LEVELS.indexOf(letter) / 63));
  const time = (share) => seconds(low * Math.exp(span * share), 2); // As fine as a round is kept.
  const all = shares.flat().toSorted((left, right) => left - right);
  const flagged = disturbed.reduce((sum, each) => sum + each.length, 0);
  const who = data.implementations[implementation];
  const every = data.step > 1 ? `; of a run this large every ${data.step}th round is here` : "";
  const finding =
    `${all.length} rounds in ${shares.length} ${shares.length === 1 ? "process" : "processes"}, ${flagged} of them disturbed: ` +
    `median ${time(quantile(all, 0.5))}, half of them between ${time(quantile(all, 0.25))} and ${time(quantile(all, 0.75))}, ` +
    `from ${time(0)} to ${time(1)}${every}.`;
  const y = (share) => TOP + 6 + (1 - share) * (HEIGHT - BOTTOM - TOP - 12);
  const strip = plot("rounds in the order of measurement, process by process", `Rounds: ${finding}`);
  const wide = (WIDTH - LEFT - 12) / Math.max(1, all.length + 2 * shares.length);
  let at = LEFT + 6;
  const quantiles = plot("share of rounds that took at most this long (one curve per process)", `Distribution: ${finding}`);
  const x = (share) => LEFT + 6 + share * (WIDTH - LEFT - 70);
  shares.forEach((values, process) => {
    const colour = `var(--series-${1 + (process % 7)})`;
    const dash = ["none", "6 3", "2 3", "8 3 2 3"][process % 4];
    const points = values.map((share, round) => [at + round * wide, y(share), disturbed[process]?.includes(round)]);
    strip.append(drawing("path", { d: `M${points.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`).join("L")}`, stroke: colour, "stroke-dasharray": dash }));
    for (const [px, py, is] of points)
      strip.append(drawing("circle", { cx: px.toFixed(1), cy: py.toFixed(1), r: is ? 4.5 : 2, fill: is ? "none" : colour, stroke: is ? "currentColor" : colour }));
    at += (values.length + 2) * wide;
    const sorted = values.toSorted((left, right) => left - right);
    const steps = sorted.map((share, rank) => `H${x(share).toFixed(1)}V${y((rank + 1) / sorted.length).toFixed(1)}`);
    quantiles.append(drawing("path", { d: `M${x(0)} ${y(0)}${steps.join("")}H${x(1)}`, stroke: colour, "stroke-dasharray": dash }));
  });
  for (const share of span ? [0, 0.5, 1] : [0]) {
    strip.append(drawing("text", { x: LEFT - 4, y: y(share) + 3, "text-anchor": "end" }, time(share)));
    quantiles.append(drawing("text", { x: x(share), y: HEIGHT - BOTTOM + 12, "text-anchor": "middle" }, time(share)));
  }
  for (const share of [0, 0.5, 1])
    quantiles.append(drawing("text", { x: LEFT - 4, y: y(share) + 3, "text-anchor": "end" }, `${100 * share} %`));
  const table = element("table", undefined, { class: "numbers" });
  const head = table.createTHead().insertRow();
  for (const title of ["Process", "Rounds", "Disturbed", "Shortest", "Median", "Longest"]) head.append(element("th", title, { scope: "col" }));
  const body = table.createTBody();
  shares.forEach((values, process) => {
    const sorted = values.toSorted((left, right) => left - right);
    const row = body.insertRow();
    row.append(element("th", String(process + 1), { scope: "row" }));
    for (const text of [values.length, disturbed[process]?.length ?? 0, ...[0, 0.5, 1].map((share) => time(quantile(sorted, share)))])
      row.append(element("td", String(text)));
  });
  table.createCaption().textContent = "The same by process";
  equip(table);
  const command = $("code.command", details).cloneNode(true);
  const argument = data.arguments[implementation];
  const base = data.arguments[baselineNow()];
  $(".impl", command).textContent = `--impl ${implementation === baselineNow() ? argument : `${base},${argument}`}`;
  $(".phase", command).textContent = `--phase ${name}`;
  const pre = element("pre");
  pre.append(command);
  $("h2", dialog).textContent = `${who}, ${name}`;
  $(".where", dialog).textContent = `${details.dataset.name}, ${details.dataset.setting}`;
  $(".what", dialog).replaceChildren(element("p", finding), strip, quantiles, table, element("p", "To measure it again, beside the baseline:"), pre);
  state.cell = key;
  write();
  if (!dialog.open) dialog.showModal();
};
dialog.addEventListener("close", () => {
  state.cell = "";
  write();
});
$("button.close", dialog).addEventListener("click", () => dialog.close());

let started = false;
form.addEventListener("input", () => {
  apply();
  write();
});
form.addEventListener("submit", (event) => event.preventDefault());
$("button.reset", form).addEventListener("click", () => {
  form.reset();
  apply();
  write();
});
window.addEventListener("hashchange", read);
form.hidden = false;
$$("table").filter((table) => !table.closest("details:not([open])")).forEach(equip);
$$("details[open]").forEach(unfold);
read();
started = true;
