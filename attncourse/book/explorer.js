// Attention maps that one can touch: an image, a query on it, and where the query looks.
//
// One module for two places. In a notebook anywidget calls `render`; on a page `mount` is given
// the same description and bytes. There is no build: this file is what runs.
//
//   spec.image    address of the picture          spec.keys, spec.queries  [rows, columns]
//   spec.own      the key at the place of each query, where that is not the one in its middle
//   spec.shown    the series that stand side by side at first
//   spec.series   [{name, layers: [{name, heads, at}]}], `at` the first row of the layer
//   maps          gzip of: the largest weight of every row (float32), then every row (uint8);
//                 a byte is 255 times the root of the weight over the row's largest

const STYLE = `
.attn-explorer__box { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; background: #fff; color: #202124;
  border: 1px solid #dadce0; border-radius: 6px; padding: 10px; box-sizing: border-box; text-align: left; }
.attn-explorer__controls { display: flex; flex-wrap: wrap; gap: 6px 14px; align-items: end; margin-bottom: 8px; }
.attn-explorer__controls label { display: flex; flex-direction: column; font-size: 13px; color: #3c4043; }
.attn-explorer__controls select, .attn-explorer__controls button { font: inherit; font-size: 14px; min-height: 32px;
  padding: 2px 8px; border: 1px solid #747775; border-radius: 4px; background: #fff; color: #202124; }
.attn-explorer__controls button[aria-pressed=true] { background: #0b57d0; color: #fff; border-color: #0b57d0; }
.attn-explorer__panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 230px), 1fr)); gap: 10px; }
.attn-explorer__panel canvas { display: block; width: 100%; image-rendering: pixelated; cursor: crosshair;
  touch-action: pan-y; }
.attn-explorer__map { outline-offset: 2px; }
.attn-explorer__map:focus-visible { outline: 3px solid #0b57d0; }
.attn-explorer__title { font-weight: 600; }
.attn-explorer__scale { display: flex; gap: 6px; align-items: center; font-size: 13px; }
.attn-explorer__scale i { flex: 1; height: 8px; max-width: 160px;
  background: linear-gradient(to right, #440154, #3b528b, #21918c, #5ec962, #fde725); }
.attn-explorer__box p { margin: 8px 0 0; min-height: 1.45em; font-variant-numeric: tabular-nums; }
.attn-explorer__box .attn-explorer__heard { position: absolute; width: 1px; height: 1px; min-height: 0; margin: 0;
  overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media print { .attn-explorer__controls { display: none; } }
`;
const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 73, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137],
  [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37]];
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function make(tag, name, parent, text) {
  const node = document.createElement(tag);
  if (name) node.className = `attn-explorer__${name}`;
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function colour(t) {
  const x = Math.min(Math.max(t, 0), 1) * (VIRIDIS.length - 1);
  const k = Math.min(Math.floor(x), VIRIDIS.length - 2);
  return VIRIDIS[k].map((from, c) => from + (x - k) * (VIRIDIS[k + 1][c] - from));
}

const told = (weight) => (weight >= 0.001 ? Number(weight.toPrecision(2)).toString()
  : weight > 0 ? weight.toExponential(1) : "0");

async function unpack(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function picture(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the picture cannot be read"));
    image.src = address;
  });
}

/** Reads rows of the maps, whole weights again. */
class Maps {
  constructor(spec, buffer) {
    this.i = spec.queries[0] * spec.queries[1];
    this.j = spec.keys[0] * spec.keys[1];
    const rows = buffer.byteLength / (4 + this.j);
    this.most = new Float32Array(buffer, 0, rows);
    this.bytes = new Uint8Array(buffer, 4 * rows);
  }

  /** The row of a query in a layer; `head` -1 is the mean of all heads. */
  row(layer, head, query) {
    const heads = head < 0 ? [...Array(layer.heads).keys()] : [head];
    const row = new Float32Array(this.j);
    for (const one of heads) {
      const at = layer.at + one * this.i + query;
      const most = this.most[at] / heads.length;
      for (let j = 0; j < this.j; j++) row[j] += most * (this.bytes[at * this.j + j] / 255) ** 2;
    }
    return row;
  }
}

/** Put an explorer into `place`; what stood there goes once it is ready. Returns what takes it away. */
export async function mount(place, spec, packed, model) {
  const [image, buffer] = await Promise.all([picture(spec.image), unpack(packed)]);
  const maps = new Maps(spec, buffer);
  const [rows, columns] = spec.queries, [high, wide] = spec.keys;
  const state = { query: spec.start, pointer: -1, held: false };
  const box = document.createElement("div");
  box.className = "attn-explorer__box";
  make("style", "", box, STYLE);
  const controls = make("div", "controls", box);
  const panels = make("div", "panels", box);
  const line = make("p", "line", box);
  const heard = make("p", "heard", box);
  heard.setAttribute("aria-live", "polite");
  heard.setAttribute("role", "status");

  function choice(name, options, value, change) {
    const label = make("label", "", controls, name);
    const select = make("select", "", label);
    options.forEach((text, n) => select.append(new Option(text, n)));
    select.value = value;
    select.addEventListener("change", () => { change(Number(select.value)); draw(); announce(); });
    if (options.length < 2) label.style.display = "none";
    return select;
  }

  const names = spec.series.map((one) => one.name);
  const several = names.length > 1;
  const shown = (spec.shown ?? (several ? [0, 1] : [0])).map((series) => ({ series, layer: 0, head: 0 }));
  const layerNames = [...new Set(spec.series.flatMap((one) => one.layers.map((layer) => layer.name)))];
  const heads = Math.max(...spec.series.flatMap((one) => one.layers.map((layer) => layer.heads)));
  choice(several ? "Left" : "Mechanism", names, shown[0].series,
    (n) => { shown[0].series = n; });
  if (several) {
    choice("Beside it", [...names, "nothing"], shown[1].series, (n) => {
      if (n < names.length) shown[1] = { ...shown[0], series: n };
      else shown.length = 1;
    });
  }
  choice("Layer", layerNames, 0, (n) => shown.forEach((one) => { one.layer = n; }));
  const headNames = [...Array(heads).keys()].map((n) => `head ${n}`);
  choice("Head", heads > 1 ? [...headNames, "mean of heads"] : headNames, 0,
    (n) => shown.forEach((one) => { one.head = n < heads ? n : -1; }));
  const hold = make("button", "", controls, "Hold the query");
  hold.type = "button";
  hold.setAttribute("aria-pressed", "false");
  hold.addEventListener("click", () => { setHeld(!state.held); draw(); });

  const grey = document.createElement("canvas");
  grey.width = image.naturalWidth;
  grey.height = image.naturalHeight;
  {
    const context = grey.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, grey.width, grey.height);
    for (let p = 0; p < pixels.data.length; p += 4) {
      const mean = (pixels.data[p] + pixels.data[p + 1] + pixels.data[p + 2]) / 3;
      for (let c = 0; c < 3; c++) pixels.data[p + c] = 60 + 0.7 * (0.85 * mean + 0.15 * pixels.data[p + c]);
    }
    context.putImageData(pixels, 0, 0);
  }
  const overlay = document.createElement("canvas");
  overlay.width = wide;
  overlay.height = high;
  let views = [];

  function layout() {
    panels.replaceChildren();
    views = shown.map((one) => {
      const panel = make("div", "panel", panels);
      const title = make("div", "title", panel);
      const map = make("div", "map", panel);
      map.tabIndex = 0;
      map.setAttribute("role", "application");
      map.setAttribute("aria-roledescription", "attention map");
      const canvas = make("canvas", "", map);
      canvas.width = 2 * Math.max(240, wide);
      canvas.height = Math.round(canvas.width * grey.height / grey.width);
      const scale = make("div", "scale", panel);
      make("span", "", scale, "0");
      make("i", "", scale);
      const most = make("span", "", scale);
      listen(map, canvas);
      return { one, title, map, canvas, most };
    });
  }

  function at(canvas, event) {
    const area = canvas.getBoundingClientRect();
    const place = (size, share) => Math.min(size - 1, Math.max(0, Math.floor(size * share)));
    const across = (event.clientX - area.left) / area.width, down = (event.clientY - area.top) / area.height;
    return {
      query: place(rows, down) * columns + place(columns, across),
      key: place(high, down) * wide + place(wide, across),
    };
  }

  function listen(map, canvas) {
    const look = (event) => {
      const found = at(canvas, event);
      state.pointer = found.key;
      if (!state.held) choose(found.query); else draw();
    };
    canvas.addEventListener("pointermove", look);
    canvas.addEventListener("pointerdown", look);
    canvas.addEventListener("pointerleave", () => { state.pointer = -1; draw(); });
    canvas.addEventListener("click", (event) => {
      if (event.pointerType === "mouse") { setHeld(!state.held); look(event); }
    });
    map.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        setHeld(!state.held);
        if (state.held && state.pointer < 0) state.pointer = keyOf(state.query);
        draw();
      } else if (event.key in STEPS) {
        const [down, across] = STEPS[event.key];
        const move = (place, height, width) => {
          const row = Math.min(height - 1, Math.max(0, Math.floor(place / width) + down));
          const column = Math.min(width - 1, Math.max(0, (place % width) + across));
          return row * width + column;
        };
        if (state.held) {
          state.pointer = move(state.pointer < 0 ? keyOf(state.query) : state.pointer, high, wide);
          draw();
          announce();
        } else {
          state.pointer = -1;
          choose(move(state.query, rows, columns));
        }
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  function setHeld(held) {
    state.held = held;
    hold.setAttribute("aria-pressed", String(held));
    hold.textContent = held ? "Query held" : "Hold the query";
  }

  function keyOf(query) {
    if (spec.own) return spec.own[query];
    const row = Math.floor((Math.floor(query / columns) + 0.5) * high / rows);
    return row * wide + Math.floor((query % columns + 0.5) * wide / columns);
  }

  const where = (key) => `row ${Math.floor(key / wide)}, column ${key % wide}`;

  function choose(query) {
    if (query !== state.query) {
      state.query = query;
      model?.set("query", query);
      model?.save_changes();
      announce();
    }
    draw();
  }

  function rowOf(one) {
    const layers = spec.series[one.series].layers;
    const layer = layers[Math.min(one.layer, layers.length - 1)];
    return maps.row(layer, one.head < layer.heads ? one.head : -1, state.query);
  }

  function draw() {
    if (views.length !== shown.length) layout();
    const says = [];
    views.forEach((view, n) => {
      view.one = shown[n];
      const row = rowOf(view.one), most = row.reduce((a, b) => Math.max(a, b), 0);
      const name = names[view.one.series], layers = spec.series[view.one.series].layers;
      view.title.textContent = name;
      // A few large weights would leave all others dark: the scale ends where eight are above it.
      const end = row.length < 100 ? most : Math.max(most / 20, Float32Array.from(row).sort().at(-8));
      view.most.textContent = end < most ? `${told(end)} and more, up to ${told(most)}` : told(most);
      view.map.setAttribute("aria-label", `Where the query looks, ${name}. Arrow keys move the query, `
        + "Enter holds it; then they move a pointer that reads weights.");
      const context = overlay.getContext("2d"), pixels = context.createImageData(wide, high);
      for (let j = 0; j < row.length; j++) {
        const t = most > 0 ? Math.min(row[j] / end, 1) : 0, rgb = colour(t);
        pixels.data.set([...rgb, 230 * Math.sqrt(t)], 4 * j);
      }
      context.putImageData(pixels, 0, 0);
      const canvas = view.canvas, paint = canvas.getContext("2d");
      paint.imageSmoothingEnabled = false;
      paint.drawImage(grey, 0, 0, canvas.width, canvas.height);
      paint.drawImage(overlay, 0, 0, canvas.width, canvas.height);
      ring(paint, canvas, keyOf(state.query), 17, "#d55e00");
      if (state.held && state.pointer >= 0) ring(paint, canvas, state.pointer, 11, "#0b57d0");
      const key = state.pointer < 0 ? keyOf(state.query) : state.pointer;
      says.push(`${names.length > 1 ? `${name} ` : ""}${told(row[key])}`);
    });
    const key = state.pointer < 0 ? keyOf(state.query) : state.pointer;
    line.textContent = `Query at ${where(keyOf(state.query))} (of ${high} × ${wide}). `
      + `Weight ${state.pointer < 0 ? "of its own place" : `under the pointer, ${where(key)}`}: ${says.join(", ")}.`;
    box.dataset.query = state.query;
  }

  function ring(paint, canvas, key, radius, stroke) {
    const x = (key % wide + 0.5) / wide, y = (Math.floor(key / wide) + 0.5) / high;
    for (const [width, style] of [[6, "#fff"], [3, stroke]]) {
      paint.beginPath();
      paint.arc(x * canvas.width, y * canvas.height, radius, 0, 2 * Math.PI);
      paint.lineWidth = width;
      paint.strokeStyle = style;
      paint.stroke();
    }
  }

  let waiting;
  function announce() {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const parts = shown.map((one) => {
        const row = rowOf(one);
        const best = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 3);
        const strongest = best.map((j) => `${where(j)}, ${told(row[j])}`).join("; ");
        const read = state.held && state.pointer >= 0
          ? ` At the pointer, ${where(state.pointer)}: ${told(row[state.pointer])}.` : "";
        return `${names[one.series]}: strongest at ${strongest}.${read}`;
      });
      heard.textContent = `Query at ${where(keyOf(state.query))}. ${parts.join(" ")}`;
    }, 300);
  }

  const follow = () => { state.query = model.get("query"); draw(); announce(); };
  model?.on("change:query", follow);
  draw();
  place.replaceChildren(box);
  return () => { clearTimeout(waiting); model?.off("change:query", follow); };
}

export default {
  async render({ model, el }) {
    const spec = { ...model.get("spec"), start: model.get("query") };
    const leave = await mount(el, spec, model.get("maps"), model);
    // The figure for readers without a kernel stands before the widget in the same output.
    for (const figure of el.closest(".jp-OutputArea")?.querySelectorAll("figure.attn-explorer") ?? [])
      figure.style.display = "none";
    return leave;
  },
};
