"use strict";
// All numbers are text from the library: the script computes only positions.
const data = JSON.parse(document.getElementById("data").textContent);
const words = data.words;
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const byId = (id) => document.getElementById(id);
const cellsOf = {};
let pair = data.pairs[data.pair];
let state = { cell: data.cell, pixel: null };
let timer = null;
const frame = Object.assign(document.createElement("div"), { className: "frame" });

const columnsOf = (shape) => shape[shape.length - 1];
const rowsOf = (shape) => (shape.length > 1 ? shape[0] : 1);
const place = (index, shape) =>
  shape.length > 1 ? `[${Math.floor(index / columnsOf(shape))},${index % columnsOf(shape)}]` : `[${index}]`;
const colour = (pixel) => data.colours[pixel];

// A background that the colours of several pixels share, arranged as the pixels are in the input.
function ground(pixels) {
  if (!pixels.length) return "";
  const columns = columnsOf(data.input);
  const xs = [...new Set(pixels.map((pixel) => pixel % columns))].sort((a, b) => a - b);
  const ys = [...new Set(pixels.map((pixel) => Math.floor(pixel / columns)))].sort((a, b) => a - b);
  const part = (count, at) => (count > 1 ? (100 * at) / (count - 1) : 0);
  return pixels
    .map((pixel) => {
      const x = xs.indexOf(pixel % columns), y = ys.indexOf(Math.floor(pixel / columns));
      const tint = `var(--tint${colour(pixel)})`;
      return `linear-gradient(${tint}, ${tint}) ${part(xs.length, x)}% ${part(ys.length, y)}% / ` +
        `${100 / xs.length + 0.5}% ${100 / ys.length + 0.5}% no-repeat`;
    })
    .join(", ");
}

// A grid of cells. `cell(index)` returns text, pixels, label and more; pointing at a cell calls `choose(index)`.
function grid(id, shape, cell, choose) {
  const rows = rowsOf(shape), columns = columnsOf(shape);
  const found = Array.from({ length: rows * columns }, (_, index) => cell(index));
  const tiny = ["matrix", "result"].includes(id) && (pair.input.length > 12 || pair.output.length > 40);
  const small = columns > 9 || (["matrix", "vector", "result"].includes(id) && pair.input.length > 9);
  const longest = Math.max(...found.map((each) => each.text.length), 2);
  const box = document.createElement("div");
  box.className = "grid" + (tiny ? " tiny" : small ? " small" : "");
  box.style.setProperty("--columns", columns);
  box.style.setProperty("--wide", tiny ? (columns === 1 ? "3em" : "9px") : `max(2.3em, ${longest * 0.62 + 0.7}em)`);
  box.setAttribute("role", "grid");
  box.setAttribute("aria-label", words[id]);
  const cells = [];
  for (let row = 0; row < rows; row++) {
    const line = document.createElement("div");
    line.setAttribute("role", "row");
    for (let column = 0; column < columns; column++) {
      const index = row * columns + column, each = found[index], element = document.createElement("div");
      element.className = "cell" + (each.zero ? " zero" : "") + (each.pixels.length ? " pixel" : "");
      element.setAttribute("role", "gridcell");
      element.setAttribute("aria-label", each.label);
      element.dataset.index = index;
      if (!tiny) element.textContent = each.text;
      if (each.pixels.length) element.style.background = ground(each.pixels);
      if (choose) {
        element.tabIndex = index ? -1 : 0;
        element.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && choose(index));
        element.addEventListener("focus", () => choose(index));
        element.addEventListener("click", () => choose(index));
      }
      line.append(element);
      cells.push(element);
    }
    box.append(line);
  }
  if (choose) box.addEventListener("keydown", (event) => walk(event, cells, columns));
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.append(box);
  byId(id).replaceChildren(scroll);
  cellsOf[id] = cells;
}

// Arrow keys move from cell to cell; Tab reaches one cell of each grid.
function walk(event, cells, columns) {
  const at = cells.indexOf(document.activeElement), column = at % columns;
  const steps = {
    ArrowRight: column < columns - 1 ? 1 : 0, ArrowLeft: column ? -1 : 0, ArrowDown: columns, ArrowUp: -columns,
    Home: -column, End: columns - 1 - column,
  };
  if (at < 0 || !(event.key in steps)) return;
  event.preventDefault();
  const next = cells[at + steps[event.key]];
  if (!next) return;
  cells[at].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

const reached = (cell) => pair.sums[cell].terms.map(([pixel]) => pixel);
const showCell = (cell) => show({ cell, pixel: null });
const showPixel = (pixel) => show({ cell: state.cell, pixel });

function build() {
  const { input, kernel, output, window: extent, zeros, zeroPixels, windowTaps } = data;
  const pixels = pair.input.length;
  const pixelCell = (index) => ({ text: pair.input[index], pixels: [index], label: `input${place(index, input)} = ${pair.input[index]}` });
  const sumCell = (index) => ({ text: pair.output[index], pixels: reached(index), label: `out${place(index, output)} = ${pair.output[index]}` });
  const tapCell = (index) => ({ text: pair.kernel[index], pixels: [], label: `kernel${place(index, kernel)} = ${pair.kernel[index]}` });
  grid("input", input, pixelCell, showPixel);
  grid("kernel", kernel, tapCell, null);
  grid("output", output, sumCell, showCell);
  grid("stamps", output, sumCell, showCell);
  grid("zeros", zeros, (index) => {
    const pixel = zeroPixels[index];
    return pixel < 0 ? { text: "0", pixels: [], zero: true, label: words.zero } : pixelCell(pixel);
  }, (index) => zeroPixels[index] >= 0 && showPixel(zeroPixels[index]));
  grid("flipped", extent, (index) => {
    const tap = windowTaps[index];
    return tap < 0 ? { text: "0", pixels: [], zero: true, label: words.zero } : tapCell(tap);
  }, null);
  grid("matrix", [pair.output.length, pixels], (index) => {
    const cell = Math.floor(index / pixels), pixel = index % pixels;
    const term = pair.sums[cell].terms.find(([from]) => from === pixel);
    const text = term ? pair.kernel[term[1]] : "0";
    const label = fill(words.entry, { cell: place(cell, output), pixel: place(pixel, input), value: text });
    return { text, pixels: term ? [pixel] : [], zero: !term, label };
  }, (index) => showCell(Math.floor(index / pixels)));
  grid("vector", [pixels, 1], pixelCell, showPixel);
  grid("result", [pair.output.length, 1], sumCell, showCell);
  document.querySelector("#zeros .grid").append(frame);
  document.querySelector(".views").classList.toggle("roomy", pixels > 6);
  byId("notes").textContent = [...pair.notes, ...data.notes].join(" ");
  byId("unflipped").textContent = pair.unflipped;
}

function spelled(parts) {
  return parts.map(([text, pixel]) => {
    const span = document.createElement("span");
    span.textContent = text;
    if (pixel >= 0) {
      span.className = "factor";
      span.style.color = `var(--word${colour(pixel)})`;
    }
    return span;
  });
}

function show(next) {
  state = next;
  for (const element of document.querySelectorAll(".chosen, .quiet, .window"))
    element.classList.remove("chosen", "quiet", "window");
  cellsOf.stamps.forEach((element, index) => {
    element.textContent = pair.output[index];
    element.style.background = ground(reached(index));
  });
  slide(state.cell);
  reveal(state.cell);
  if (state.pixel === null) showSum(state.cell);
  else showStamp(state.pixel);
  byId("slider").value = state.cell;
  byId("slider").setAttribute("aria-valuetext", fill(words.outputAt, { cell: place(state.cell, data.output) }));
  byId("at").textContent = `out${place(state.cell, data.output)}`;
}

function choose(id, indices) {
  for (const index of indices) cellsOf[id][index].classList.add("chosen");
}

function item(pixel, text) {
  const line = document.createElement("li");
  line.style.setProperty("--line", `var(--line${colour(pixel)})`);
  line.textContent = text;
  return line;
}

const spell = (pixel, tap, product) => `${pair.factors[pixel]} × ${pair.taps[tap]} = ${product}`;

function showSum(cell) {
  const { terms, parts } = pair.sums[cell], pixels = pair.input.length;
  byId("sum").replaceChildren(...spelled(parts));
  byId("terms").replaceChildren(...terms.map(([pixel, tap, product]) =>
    item(pixel, fill(words.term, { pixel: place(pixel, data.input), tap: place(tap, data.kernel), product: spell(pixel, tap, product) }))));
  for (const id of ["output", "stamps", "result"]) choose(id, [cell]);
  for (const id of ["input", "vector"]) choose(id, terms.map(([pixel]) => pixel));
  choose("kernel", terms.map(([, tap]) => tap));
  choose("flipped", terms.map(([, tap]) => data.windowTaps.indexOf(tap)));
  choose("matrix", terms.map(([pixel]) => cell * pixels + pixel));
}

// One pixel's stamp: all products that it contributes.
function showStamp(pixel) {
  const pixels = pair.input.length, landed = [];
  pair.sums.forEach(({ terms }, cell) => {
    const term = terms.find(([from]) => from === pixel);
    if (term) landed.push(cell);
    const element = cellsOf.stamps[cell];
    element.textContent = term ? term[2] : "";
    element.style.background = term ? ground([pixel]) : "";
    if (!term) cellsOf.output[cell].classList.add("quiet");
  });
  const ends = { first: place(landed[0], data.output), last: place(landed[landed.length - 1], data.output) };
  byId("sum").replaceChildren(...spelled([[`input${place(pixel, data.input)} = `, -1], [pair.input[pixel], pixel], [words.stamping, -1],
    [fill(words.stamp, { factor: pair.factors[pixel] }), pixel], [landed.length ? fill(words.landing, ends) : words.nowhere, -1]]));
  byId("terms").replaceChildren(...landed.map((cell) => {
    const [, tap, product] = pair.sums[cell].terms.find(([from]) => from === pixel);
    return item(pixel, fill(words.contribution, { cell: place(cell, data.output), product: spell(pixel, tap, product) }));
  }));
  choose("input", [pixel]);
  choose("vector", [pixel]);
  choose("stamps", landed);
  choose("zeros", data.zeroPixels.flatMap((found, index) => (found === pixel ? [index] : [])));
  choose("matrix", landed.map((cell) => cell * pixels + pixel));
}

// The window of an output on the zero-filled input begins at the index of the output.
function slide(cell) {
  const columns = columnsOf(data.output), zeroColumns = columnsOf(data.zeros);
  const top = Math.floor(cell / columns), left = cell % columns;
  const rows = rowsOf(data.window), across = columnsOf(data.window);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < across; column++) {
      const element = cellsOf.zeros[(top + row) * zeroColumns + left + column], tap = data.windowTaps[row * across + column];
      element.dataset.tap = tap < 0 ? "" : "×" + pair.kernel[tap];
      element.classList.add("window");
    }
  const first = cellsOf.zeros[top * zeroColumns + left], last = cellsOf.zeros[(top + rows - 1) * zeroColumns + left + across - 1];
  Object.assign(frame.style, {
    left: `${first.offsetLeft - 3}px`, top: `${first.offsetTop - 3}px`,
    width: `${last.offsetLeft + last.offsetWidth - first.offsetLeft + 6}px`,
    height: `${last.offsetTop + last.offsetHeight - first.offsetTop + 6}px`,
  });
}

// Scroll a tall matrix to the row of the current output.
function reveal(cell) {
  const box = document.querySelector(".product"), row = cellsOf.result[cell];
  if (box.matches(":hover") || box.contains(document.activeElement)) return;
  const top = row.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop;
  if (top < box.scrollTop + 40 || top > box.scrollTop + box.clientHeight - 40) box.scrollTop = top - box.clientHeight / 2;
}

function stop() {
  clearInterval(timer);
  timer = null;
  byId("play").textContent = words.play;
}

byId("slider").max = data.pairs[0].output.length - 1;
byId("slider").addEventListener("input", (event) => { stop(); showCell(Number(event.target.value)); });
byId("play").addEventListener("click", () => {
  if (timer) return stop();
  byId("play").textContent = words.pause;
  timer = setInterval(() => showCell((state.cell + 1) % pair.output.length), 900);
});
const select = byId("pair");
select.replaceChildren(...data.pairs.map((each) => new Option(each.name)));
select.selectedIndex = data.pair;
select.addEventListener("change", () => { stop(); pair = data.pairs[select.selectedIndex]; build(); show(state); });
document.querySelector(".pair").hidden = data.pairs.length === 1;
byId("agrees").textContent = data.agrees;
build();
show(state);
addEventListener("resize", () => slide(state.cell));
