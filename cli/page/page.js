(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const ROWS = window.innerWidth > 760 ? 20 : 10;
  const MORE_ROWS = 200;
  const CHARTS = 6;
  const [ID, SCOPE, OUTCOME, ENDED, TOOK, SIZE, TEXT, NAME] = [0, 1, 2, 3, 4, 5, 6, 7];
  const SECONDS = [["d", 86400], ["h", 3600], ["min", 60]];

  // Whatever a provider said reaches the page as text, never as markup.
  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function duration(seconds) {
    if (seconds < 0) return "";
    for (let unit = 0; unit < SECONDS.length; unit += 1) {
      const [name, size] = SECONDS[unit];
      if (seconds >= size) {
        const next = SECONDS[unit + 1];
        const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
        return `${Math.floor(seconds / size)} ${name}${rest ? ` ${rest} ${next[0]}` : ""}`;
      }
    }
    return `${Math.floor(seconds)} s`;
  }

  function size(bytes) {
    if (bytes < 0) return "";
    let value = bytes;
    let unit = "B";
    for (const larger of ["KiB", "MiB", "GiB", "TiB"]) {
      if (value < 1024) break;
      value /= 1024;
      unit = larger;
    }
    return `${value.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
  }

  const iso = (seconds) => new Date(seconds * 1000).toISOString();
  const moment = (seconds) => iso(seconds).slice(0, 16).replace("T", " ");
  const scopeOf = (row) => data.scopes[row[SCOPE]];
  const kindOf = (row) =>
    data.good.includes(row[OUTCOME]) ? "good" : data.bad.includes(row[OUTCOME]) ? "bad" : "other";

  // ------------------------------------------------------------------ copying

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // A page that was not opened over https or as a file may not use the clipboard directly.
      const area = element("textarea", "hidden");
      area.value = text;
      document.body.append(area);
      area.select();
      const copied = document.execCommand("copy");
      area.remove();
      return copied;
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const copied = await copy(button.dataset.copy);
    const before = button.dataset.text || button.textContent;
    button.dataset.text = before;
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    find("announce").textContent = copied ? `Copied ${button.dataset.copy}` : "Copying is not allowed here";
    button.focus();
    setTimeout(() => { button.textContent = before; }, 2000);
  });

  // ------------------------------------------------------------------ how old the page is

  const seconds = Math.floor(Date.now() / 1000) - data.now;
  if (seconds >= 60) find("made-ago").textContent = `, ${duration(seconds)} ago`;

  // ------------------------------------------------------------------ links

  function objectUrl(bucket, key) {
    const path = (text) => text.split("/").map(encodeURIComponent).join("/");
    if (data.links.folder) return `${data.links.folder}/${path(key)}`;
    const region = data.links.region ? `region=${encodeURIComponent(data.links.region)}&` : "";
    return `${data.links.console}${encodeURIComponent(bucket || data.links.bucket)}?${region}prefix=${encodeURIComponent(key)}`;
  }

  function recordUrl(row, number) {
    const [, , source, path] = scopeOf(row);
    const key = data.keys[number]
      || `${data.prefix}records/source=${source}/date=${iso(row[ENDED]).slice(0, 10)}/${path}/${row[ID]}.json`;
    return objectUrl(null, key);
  }

  function reportUrl(row) {
    const name = data.names[row[NAME]];
    if (name.startsWith("//")) {
      const end = name.indexOf("/", 2);
      return objectUrl(name.slice(2, end), name.slice(end + 1));
    }
    if (name.startsWith("/")) return objectUrl(null, name.slice(1));
    const [, , source, path] = scopeOf(row);
    const day = iso(row[ENDED]).slice(0, 10).replaceAll("-", "/");
    const file = name.replaceAll("{}", row[ID]);
    return objectUrl(null, `${data.prefix}artifacts/${source}/${path}/${day}/${row[ID]}/${file}`);
  }

  function link(text, url, label) {
    const made = element("a", "", text);
    made.href = url;
    made.setAttribute("aria-label", label);
    return made;
  }

  // ------------------------------------------------------------------ recent builds

  const COLUMNS = [
    { title: "Ended", value: (row) => row[ENDED] },
    { title: "Outcome", value: (row) => data.outcomes[row[OUTCOME]] },
    { title: "Build", value: (row) => scopeOf(row).slice(0, 2).join("/") },
    { title: "Took", value: (row) => row[TOOK], number: true },
    { title: "Size", value: (row) => row[SIZE], number: true },
  ];
  let order = { column: 0, descending: true };
  let shown = ROWS;
  let chosen = [];

  function cell(label, className, ...content) {
    const made = element("td", className);
    made.setAttribute("role", "cell");
    if (label) made.dataset.label = label;
    made.append(...content);
    return made;
  }

  function quoted(text) {
    return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
  }

  function rowOf(number) {
    const row = data.builds[number];
    const [source, scope] = scopeOf(row);
    const made = element("tr");
    made.setAttribute("role", "row");
    const time = element("time", "", moment(row[ENDED]));
    time.dateTime = iso(row[ENDED]);
    const build = element("th");
    build.scope = "row";
    build.setAttribute("role", "rowheader");
    build.append(element("span", "scope", `${source} / ${scope}`), element("span", "id", row[ID]));
    if (row[TEXT] >= 0) build.append(element("span", "message", data.texts[row[TEXT]]));
    const links = cell("", "links");
    if (row[NAME] >= 0) links.append(link("report", reportUrl(row), `Report of ${row[ID]}`));
    links.append(link("record", recordUrl(row, number), `Record of ${row[ID]}`));
    if (data.suffix !== null) {
      const show = element("button", "link", "copy show");
      show.type = "button";
      show.dataset.copy = `courier show ${quoted(`${source}/${scope}/${row[ID]}`)}${data.suffix}`;
      show.setAttribute("aria-label", `copy show: the command that shows ${row[ID]}`);
      links.append(show);
    }
    made.append(
      cell("Ended", "", time),
      cell("Outcome", "", element("span", `outcome ${kindOf(row)}`, data.outcomes[row[OUTCOME]].replaceAll("_", " "))),
      build,
      cell("Took", "number", duration(row[TOOK]) || "–"),
      cell("Size", "number", size(row[SIZE]) || "–"),
      links,
    );
    return made;
  }

  function choose() {
    const text = find("filter-text").value.trim().toLowerCase();
    const outcome = find("filter-outcome").value;
    const source = find("filter-source").value;
    const matches = (row) => {
      const [name, scope] = scopeOf(row);
      if (outcome === "bad" ? kindOf(row) !== "bad" : outcome !== "" && data.outcomes[row[OUTCOME]] !== outcome) return false;
      if (source !== "" && name !== source) return false;
      if (text === "") return true;
      const message = row[TEXT] >= 0 ? data.texts[row[TEXT]] : "";
      return `${name}/${scope}/${row[ID]} ${message}`.toLowerCase().includes(text);
    };
    const { value } = COLUMNS[order.column];
    const sign = order.descending ? -1 : 1;
    chosen = [...data.builds.keys()].filter((number) => matches(data.builds[number]));
    chosen.sort((one, other) => {
      const [left, right] = [value(data.builds[one]), value(data.builds[other])];
      return (left < right ? -sign : left > right ? sign : 0) || one - other;
    });
    shown = ROWS;
    draw();
  }

  function draw() {
    find("rows").replaceChildren(...chosen.slice(0, shown).map(rowOf));
    const count = Math.min(shown, chosen.length);
    const builds = chosen.length === 1 ? "build" : "builds";
    find("count").textContent = count < chosen.length ? `${count} of ${chosen.length} ${builds}` : `${chosen.length} ${builds}`;
    find("more").hidden = count === chosen.length;
    find("more").textContent = `Show ${Math.min(MORE_ROWS, chosen.length - count)} more`;
    find("headings").querySelectorAll("th[aria-sort]").forEach((heading, column) => {
      const direction = order.descending ? "descending" : "ascending";
      heading.setAttribute("aria-sort", column === order.column ? direction : "none");
    });
    find("sort").value = `${order.column} ${order.descending}`;
  }

  function showFilters() {
    const present = new Set(data.builds.map((row) => data.outcomes[row[OUTCOME]]));
    if (data.builds.some((row) => kindOf(row) === "bad")) find("filter-outcome").append(new Option("all failures", "bad"));
    for (const name of data.outcomes) if (present.has(name)) find("filter-outcome").append(new Option(name.replaceAll("_", " "), name));
    for (const name of [...new Set(data.scopes.map((scope) => scope[0]))].sort()) find("filter-source").append(new Option(name, name));
    COLUMNS.forEach((column, number) => {
      const heading = element("th", column.number ? "number" : "");
      heading.scope = "col";
      heading.setAttribute("role", "columnheader");
      heading.setAttribute("aria-sort", "none");
      const button = element("button", "", column.title);
      button.type = "button";
      button.addEventListener("click", () => {
        order = { column: number, descending: order.column === number ? !order.descending : number !== 2 };
        choose();
      });
      heading.append(button);
      find("headings").append(heading);
      find("sort").append(new Option(`${column.title} ↓`, `${number} true`), new Option(`${column.title} ↑`, `${number} false`));
    });
    const links = element("th", "", "");
    links.scope = "col";
    links.setAttribute("role", "columnheader");
    links.append(element("span", "", "Open"));
    find("headings").append(links);
    for (const id of ["filter-outcome", "filter-source"]) find(id).addEventListener("change", choose);
    find("filter-text").addEventListener("input", choose);
    find("filters").addEventListener("submit", (event) => event.preventDefault());
    find("sort").addEventListener("change", () => {
      const [column, descending] = find("sort").value.split(" ");
      order = { column: Number(column), descending: descending === "true" };
      choose();
    });
    find("more").addEventListener("click", () => {
      const first = shown;
      shown += MORE_ROWS;
      draw();
      find("rows").children[first]?.querySelector("a, button")?.focus();
    });
    find("filters").hidden = find("builds").hidden = false;
    choose();
  }

  function list(text, outcome) {
    find("filter-text").value = text;
    find("filter-outcome").value = outcome;
    find("filter-source").value = "";
    choose();
    find("recent").scrollIntoView();
    find("filter-text").focus({ preventScroll: true });
  }

  // ------------------------------------------------------------------ charts

  const charts = [];
  // A chart is drawn when it comes into view, or is printed.
  const pending = new Map();
  const inView = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) plotPending(entry.target);
  }, { rootMargin: "200px" });

  function plotPending(box) {
    const number = pending.get(box);
    if (!pending.delete(box)) return;
    inView.unobserve(box);
    plot(box, number);
  }

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function seriesOf(scope) {
    const rows = data.builds.filter((row) => row[SCOPE] === scope).sort((one, other) => one[ENDED] - other[ENDED]);
    const took = (row) => Math.max(0, row[TOOK]);
    return {
      rows,
      columns: [
        rows.map((row) => row[ENDED]),
        rows.map((row) => (kindOf(row) === "good" && row[TOOK] >= 0 ? row[TOOK] : null)),
        rows.map((row) => (kindOf(row) === "bad" ? took(row) : null)),
      ],
    };
  }

  function plot(box, number) {
    const { rows, columns } = seriesOf(number);
    const [, , , , , low, high] = data.scopes[number];
    const tip = element("div", "tip");
    tip.hidden = true;
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const dots = (fill) => ({ paths: () => null, stroke: fill, points: { show: true, size: rows.length > 400 ? 3 : 5, fill, stroke: fill, width: 0 } });
    const span = rows.at(-1)[ENDED] - rows[0][ENDED];
    const margin = Math.max(span * 0.03, (3600 - span) / 2);
    const made = new uPlot({
      width: box.clientWidth,
      height: box.clientHeight,
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC"),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false }, x: false, y: false },
      scales: { x: { range: () => [rows[0][ENDED] - margin, rows.at(-1)[ENDED] + margin] }, y: { range: (_, __, top) => [0, Math.max(top, high || 0, 1) * 1.08] } },
      series: [{}, dots(color("--good-fill")), dots(color("--bad-fill"))],
      axes: [
        { ...axis, size: 28, space: 70, values: [[86400, "{MMM} {D}"], [3600, "{HH}:{mm}"], [60, "{HH}:{mm}"], [1, "{HH}:{mm}:{ss}"]].map(([step, form]) => [step, form, null, null, null, null, null, null, 1]) },
        { ...axis, size: 78, values: (_, splits) => splits.map((value) => duration(value)), incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000] },
      ],
      hooks: {
        drawAxes: [(chart) => {
          if (low === null || high === null) return;
          const [top, bottom] = [chart.valToPos(high, "y", true), chart.valToPos(low, "y", true)];
          chart.ctx.save();
          chart.ctx.fillStyle = color("--accent");
          chart.ctx.globalAlpha = 0.16;
          chart.ctx.fillRect(chart.bbox.left, top, chart.bbox.width, Math.max(2, bottom - top));
          chart.ctx.restore();
        }],
        setCursor: [(chart) => {
          const at = chart.cursor.idx;
          const value = at === null || at === undefined ? null : columns[1][at] ?? columns[2][at];
          tip.hidden = value === null || chart.cursor.left < 0;
          if (tip.hidden) return;
          tip.textContent = `${rows[at][ID].slice(0, 12)} · ${data.outcomes[rows[at][OUTCOME]]} · ${duration(rows[at][TOOK]) || "unknown"} · ${moment(rows[at][ENDED])}`;
          const left = chart.valToPos(rows[at][ENDED], "x") + chart.over.offsetLeft;
          tip.style.left = `${Math.max(0, Math.min(left - 100, box.clientWidth - 270))}px`;
          tip.style.top = `${Math.max(0, chart.valToPos(value, "y") - 30)}px`;
        }],
      },
    }, columns, box);
    box.append(tip);
    charts.push({ box, number, made });
  }

  function redraw() {
    for (const { box, number, made } of charts.splice(0)) {
      made.destroy();
      box.replaceChildren();
      plot(box, number);
    }
  }

  function figureOf(number) {
    const [source, scope, , , p50, low, high] = data.scopes[number];
    const rows = data.builds.filter((row) => row[SCOPE] === number);
    const bad = rows.filter((row) => kindOf(row) === "bad").length;
    const figure = element("figure");
    const caption = element("figcaption");
    const usual = low === null ? "" : `, usually ${duration(low)} to ${duration(high)}, half within ${duration(p50)}`;
    const text = `${rows.length} ${rows.length === 1 ? "build" : "builds"}, ${bad} failed${usual}. `;
    const show = element("button", "link", "list them");
    show.type = "button";
    show.setAttribute("aria-label", `list them: builds of ${source} / ${scope}`);
    show.addEventListener("click", () => list(`${source}/${scope}/`, ""));
    caption.append(element("b", "", `${source} / ${scope}`), text, show);
    const box = element("div", "chart");
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `Durations of ${source} / ${scope}: ${text}`);
    figure.append(caption, box);
    pending.set(box, number);
    inView.observe(box);
    return figure;
  }

  function showCharts() {
    let next = 0;
    const add = () => {
      const until = Math.min(next + CHARTS, data.scopes.length);
      for (; next < until; next += 1) find("charts").append(figureOf(next));
      find("more-charts").hidden = next === data.scopes.length;
      find("more-charts").textContent = `Show ${Math.min(CHARTS, data.scopes.length - next)} more scopes`;
    };
    find("more-charts").addEventListener("click", add);
    add();
    window.addEventListener("beforeprint", () => [...pending.keys()].forEach(plotPending));
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth !== width) redraw();
      width = window.innerWidth;
    });
    for (const query of ["(prefers-color-scheme: dark)", "print"]) window.matchMedia(query).addEventListener("change", redraw);
  }

  if (data.builds.length) {
    showFilters();
    showCharts();
  }
  document.documentElement.dataset.ready = "yes";
})();
