// Shows the rows of the chosen hosts, moves their columns together, and says of each row what happened.
const svg = document.querySelector("svg"), all = (what, of = svg) => [...of.querySelectorAll(what)];
const hosts = all(".host"), heads = all("g.head"), rows = all(".row"), boxes = all("#hosts input", document);
const told = document.querySelector("#told"), find = document.querySelector("#find");
const column = +svg.dataset.column, left = 76, top_ = 64, height = 26;
const set = (element, values) => { for (const name in values) element.setAttribute(name, values[name]); };
// The names stay in sight, above everything.
heads.forEach(head => svg.append(head));
let shift = [], scale = 1, size = [svg.width.baseVal.value, svg.height.baseVal.value];

function lay() {
    const chosen = new Set(boxes.filter(b => b.checked).map(b => +b.value)), some = chosen.size > 0;
    const words = find.value.toLowerCase();
    const text = row => (row.querySelector("title")?.textContent ?? "").toLowerCase();
    const of = row => row.dataset.hosts.split(" ").filter(h => h !== "").map(Number);
    const shown = rows.map(row => {
        const its = of(row);
        if (row.classList.contains("pause")) return !some && !words;
        if (words && !text(row).includes(words)) return false;
        return !some || its.length === 0 || its.some(h => chosen.has(h));
    });
    const visible = new Set(some ? [] : hosts.keys());
    if (some) rows.forEach((row, n) => { if (shown[n]) of(row).forEach(h => visible.add(h)); });
    if (some) chosen.forEach(h => visible.add(h));
    const x = [], y = [];
    let columns = 0, below = 0;
    hosts.forEach((_, h) => x[h] = visible.has(h) ? left + column * columns++ + column / 2 : null);
    // Levels with nothing to show are left out.
    const used = [...new Set(rows.filter((_, n) => shown[n]).map(row => +row.dataset.level))].sort((a, b) => a - b);
    const place = new Map(used.map((level, n) => [level, n + 1]));
    rows.forEach((row, n) => {
        const level = +row.dataset.level;
        while (below < used.length && used[below] <= level) below++;
        y[n] = top_ + height * (place.get(level) ?? below);
    });
    below = used.length;
    // One level shows one time.
    const timed = new Set();
    rows.forEach((row, n) => {
        if (!shown[n] || !row.querySelector(".time")) return;
        row.querySelector(".time").classList.toggle("also", timed.has(row.dataset.level));
        timed.add(row.dataset.level);
    });
    const bottom = top_ + height * (below + 1) + height / 2, right = left + columns * column;
    hosts.forEach((host, h) => {
        host.style.display = heads[h].style.display = x[h] === null ? "none" : "";
        if (x[h] === null) return;
        const was = +heads[h].querySelector(".name").getAttribute("x");
        shift[h] = x[h] - was;
        const foot = host.querySelector(".foot"), at = +foot.querySelector(".name").getAttribute("y");
        set(foot, {transform: `translate(${x[h] - was},${bottom + 18 - at})`});
        all(".life", host).forEach(line => set(line, {x1: x[h], x2: x[h],
            y1: line.dataset.first === "" ? top_ : y[line.dataset.first], y2: line.dataset.last === "" ? bottom : y[line.dataset.last]}));
    });
    all(".again").forEach(text => text.style.display = "none");
    all(".fault").forEach(fault => {
        const its = fault.dataset.hosts.split(" ").filter(h => h !== "" && x[h] !== null).map(h => x[h]);
        const wide = its.length < 2, from = y[fault.dataset.first];
        const to = fault.dataset.last === "" ? bottom : y[fault.dataset.last];
        const a = wide ? left : Math.min(...its) - column / 2 + 6, b = wide ? right : Math.max(...its) + column / 2 - 6;
        set(fault.querySelector("rect"), {x: a, width: Math.max(0, b - a), y: from, height: Math.max(0, to - from)});
    });
    rows.forEach((row, n) => {
        row.style.display = shown[n] ? "" : "none";
        if (!shown[n]) return;
        set(row, {transform: `translate(0,${y[n]})`});
        const at = of(row).map(h => x[h]), shaft = row.querySelector("line.shaft"), point = row.querySelector(".at");
        if (point) set(point, {transform: `translate(${at[0]},0)`});
        if (row.querySelector(".edge")) set(row.querySelector(".edge"), {x2: right});
        const loop = row.querySelector("path.loop");
        if (loop) {
            set(loop, {transform: `translate(${at[0]},0)`});
            set(row.querySelector(".tip"), {transform: `translate(${at[0]},6) scale(-1,1)`});
            set(row.querySelector("text.loop"), {x: at[0] + 42});
        }
        if (!shaft) return;
        const [from, to] = at, way = to > from ? 1 : -1;
        set(shaft, {x1: from, x2: to - 3 * way});
        set(row.querySelector(".tip"), {transform: `translate(${to},0) scale(${way},1)`});
        set(row.querySelector(".tail"), {x: from + 5 * way, "text-anchor": way > 0 ? "start" : "end"});
        set(row.querySelector(".head"), {x: to - 9 * way, "text-anchor": way > 0 ? "end" : "start"});
        set(row.querySelector(".note"), {x: (from + to) / 2});
    });
    size = [right + 70, bottom + 34];
    set(svg, {viewBox: `0 0 ${size[0]} ${size[1]}`});
    zoom(scale);
}
function zoom(to) {
    scale = Math.min(4, Math.max(0.1, to));
    set(svg, {width: size[0] * scale, height: size[1] * scale});
    document.querySelector("#scale").textContent = Math.round(scale * 100) + " %";
    scrolled();
}
const page = document.querySelector("main");
function scrolled() {
    const down = Math.max(0, page.scrollTop / scale - 24);
    heads.forEach((head, h) => set(head, {transform: `translate(${shift[h] ?? 0},${down})`}));
}
const fit = () => zoom((page.clientWidth - 4) / size[0]);
rows.forEach(row => row.addEventListener("mouseenter", () => told.textContent = row.querySelector("title")?.textContent ?? ""));
boxes.forEach(box => box.addEventListener("change", lay));
find.addEventListener("input", lay);
for (const [id, act] of [["in", () => zoom(scale * 1.25)], ["out", () => zoom(scale / 1.25)], ["fit", fit],
    ["none", () => { boxes.forEach(b => b.checked = false); find.value = ""; lay(); }]])
    document.getElementById(id).addEventListener("click", act);
page.addEventListener("scroll", scrolled);
page.addEventListener("wheel", e => {
    if (e.ctrlKey) { e.preventDefault(); zoom(scale * (e.deltaY < 0 ? 1.1 : 1 / 1.1)); }
}, {passive: false});
// A link to the page may name hosts: #web,db
const asked = decodeURIComponent(location.hash.slice(1)).split(",");
boxes.forEach(box => box.checked = asked.includes(box.dataset.name));
lay();
