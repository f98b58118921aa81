// The strip of sorted scores under the head map. Its line selects the first heads of the rule's
// order; the outlines on the map, the number of heads, the share of parameters and the cutoff follow
// every input event here in the browser, and so does a click on the map. On release the new settings
// are sent; what the server answers replaces what is shown.
//
// The map is Plotly's. Its traces "outline", "added" and "removed" hold a path a stroke, which this
// script writes; after each drawing by Plotly (zoom, another figure) it writes them again.

const PATIENCE = 10_000; // milliseconds for which an answer to an earlier message is not shown
const KEY_PAUSE = 300; // milliseconds after the last key until the settings are sent
const EVEN_UP_TO = 128; // heads; for more, the first ones get more room on the strip
const PAGE_STEP = 10; // heads
const COLOURS = { plus: "162, 116, 189", minus: "63, 150, 135" }; // of the map's scale
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: PAGE_STEP, PageDown: -PAGE_STEP };

// the number of the last message, and when it was sent; the page may draw this component again
const memory = (window.ctsftStrip ??= { seq: 0, sent: -PATIENCE });

const nameOf = ([layer, head]) => `${layer}.${head}`;

export function number(value) {
  if (value === 0) return "0";
  const text = Number(value.toPrecision(3));
  return String(Math.abs(text) < 1e-4 ? text.toExponential() : text).replace("-", "−");
}

class Strip {
  constructor(root) {
    this.root = root;
    this.track = root.querySelector(".track");
    this.line = root.querySelector(".line");
    this.canvas = root.querySelector("canvas");
    this.dragging = false;
    this.track.onpointerdown = (event) => this.grab(event);
    this.track.onpointermove = (event) => this.dragging && this.drag(event);
    this.track.onpointerup = this.track.onpointercancel = () => this.release();
    this.line.onkeydown = (event) => this.key(event);
    root.querySelector("button").onclick = () => this.send("measure", true);
    this.mutations = new MutationObserver(() => this.follow());
    this.sizes = new ResizeObserver(() => this.drawStrip());
  }

  connect() {
    this.mutations.observe(document.body, { childList: true, subtree: true });
    this.sizes.observe(this.track);
  }

  disconnect() {
    this.mutations.disconnect();
    this.sizes.disconnect();
  }

  // `data`: see explorer/widgets/score_strip.py
  update(data, send) {
    this.send = send;
    const late = data.seq < memory.seq && performance.now() - memory.sent < PATIENCE;
    const busy = this.dragging || this.timer;
    if (this.data && (late || busy) && data.rule === this.data.rule) {
      this.data = { ...data, cut: this.data.cut, threshold: this.data.threshold };
    } else {
      this.data = data;
      this.cut = data.cut;
      this.added = new Set(data.added.map(nameOf));
      this.removed = new Set(data.removed.map(nameOf));
    }
    if (this.cut !== null) this.cut = Math.min(this.cut, data.heads.length);
    this.places = new Map(data.heads.map((head, i) => [nameOf(head), i]));
    this.connect();
    this.follow();
    if (data.clickable) followHeads(data.container, (head) => this.click(head));
    this.draw();
  }

  // the map of this page, which Streamlit may have replaced
  follow() {
    const plot = document.querySelector(`.st-key-${this.data.container} .js-plotly-plot`);
    if (!plot?.on || !plot._fullLayout?.xaxis || plot.scoreStrip === this) return;
    const known = plot.scoreStrip;
    plot.scoreStrip = this;
    this.plot = plot;
    if (!known) {
      plot.on("plotly_afterplot", () => plot.scoreStrip.drawMap());
    }
    this.drawMap();
  }

  circuit() {
    const { heads, cut, base } = this.data;
    const byRule = new Set((cut === null ? base : heads.slice(0, this.cut)).map(nameOf));
    const added = [...this.added].filter((name) => !byRule.has(name));
    const removed = [...this.removed].filter((name) => byRule.has(name));
    const members = [...byRule, ...added].filter((name) => !this.removed.has(name));
    return { byRule, added, removed, members };
  }

  draw() {
    this.now = this.circuit();
    this.drawMap();
    this.drawStrip();
    this.drawFacts();
  }

  drawMap() {
    const { plot, now } = this;
    if (!plot?.isConnected || !now) return;
    const { xaxis, yaxis } = plot._fullLayout;
    const cells = plot._fullData.find((trace) => trace.name === "heads");
    const places = new Map(cells.customdata.map((head, i) => [nameOf(head), [cells.x[i], cells.y[i]]]));
    const { shapes } = this.data;
    const path = (points, end = "") =>
      "M" + points.map(([x, y]) => `${xaxis.c2p(x).toFixed(2)},${yaxis.c2p(y).toFixed(2)}`).join("L") + end;
    const corner = ([x, y], half) => [[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]];
    const marks = {
      outline: (at) => [path(corner(at, shapes.outline), "Z")],
      added: ([x, y]) => [
        path([[x - shapes.added, y], [x + shapes.added, y]]),
        path([[x, y - shapes.added], [x, y + shapes.added]]),
      ],
      removed: (at) => {
        const [a, b, c, d] = corner(at, shapes.removed);
        return [path([a, c]), path([b, d])];
      },
    };
    const names = { outline: now.members, added: now.added, removed: now.removed };
    for (const [kind, mark] of Object.entries(marks)) {
      const paths = names[kind].flatMap((name) => mark(places.get(name)));
      for (const trace of plot._fullData.filter((one) => one.name === kind)) this.write(trace, paths);
    }
  }

  // a path a stroke, in the group of a trace
  write(trace, paths) {
    const group = this.plot.querySelector(`.trace${trace.uid} .lines`);
    if (!group) return;
    while (group.children.length > paths.length) group.lastChild.remove();
    paths.forEach((d, i) => {
      let stroke = group.children[i];
      if (!stroke) {
        stroke = document.createElementNS("http://www.w3.org/2000/svg", "path");
        stroke.setAttribute("class", "js-line");
        stroke.style.cssText = `fill: none; stroke: ${trace.line.color}; stroke-width: ${trace.line.width}px`;
        group.append(stroke);
      }
      stroke.setAttribute("d", d);
    });
  }

  // pixels from the left end of the strip to the left end of a head's bar
  left(i) {
    const n = this.data.heads.length;
    return this.track.clientWidth * (n > EVEN_UP_TO ? Math.sqrt(i / n) : i / n);
  }

  cutAt(x) {
    const n = this.data.heads.length;
    const share = Math.min(Math.max(x / this.track.clientWidth, 0), 1);
    return Math.round(n * (n > EVEN_UP_TO ? share * share : share));
  }

  drawStrip() {
    if (!this.now) return;
    const { track, canvas, line, data } = this;
    const [width, height] = [track.clientWidth, track.clientHeight];
    canvas.width = width * devicePixelRatio;
    canvas.height = height * devicePixelRatio;
    const pen = canvas.getContext("2d");
    pen.scale(devicePixelRatio, devicePixelRatio);
    const members = new Set(this.now.members);
    const top = Math.max(...data.values, 0);
    const bottom = Math.min(...data.values, 0);
    const zero = 4 + ((height - 14) * top) / (top - bottom || 1);
    data.values.forEach((value, i) => {
      const [from, to] = [this.left(i), this.left(i + 1)];
      const gap = to - from > 3 ? 1 : 0;
      const length = ((height - 14) * value) / (top - bottom || 1);
      const strength = members.has(nameOf(data.heads[i])) ? 1 : 0.35;
      pen.fillStyle = `rgba(${value < 0 ? COLOURS.minus : COLOURS.plus}, ${strength})`;
      const bar = Math.sign(length) * Math.max(Math.abs(length), 1);
      pen.fillRect(from, zero - Math.max(bar, 0), Math.max(to - from - gap, 0.5), Math.abs(bar));
    });
    const movable = data.cut !== null;
    track.classList.toggle("movable", movable);
    line.hidden = !movable;
    if (movable) line.style.left = `${this.left(this.cut)}px`;
  }

  cutoff() {
    const { data, cut } = this;
    if (data.cut === null || !data.sign || (cut === 0 && data.rule !== "threshold")) return null;
    if (cut === data.cut && data.threshold !== null) return data.threshold;
    const last = data.values[cut - 1];
    return data.rule === "threshold" && cut < data.values.length ? (last + data.values[cut]) / 2 : last;
  }

  drawFacts() {
    const { data, now } = this;
    const fact = (name, text) => (this.root.querySelector(`[data-fact=${name}]`).textContent = text);
    const note = (name, text) => (this.root.querySelector(`[data-note=${name}]`).textContent = text);
    const count = `${now.members.length} of ${data.n_heads}`;
    const edits = [[now.added.length, "added"], [now.removed.length, "removed"]].filter(([n]) => n);
    fact("heads", count);
    note("heads", edits.length ? `by hand: ${edits.map((one) => one.join(" ")).join(", ")}` : "");
    fact("trainable", `${((100 * this.parameters()) / data.parameters.total).toFixed(2)} %`);
    const cutoff = this.cutoff();
    fact("cutoff", cutoff === null ? "–" : `${data.sign} ${number(cutoff)}`);
    note("cutoff", cutoff === null ? "" : data.unit);
    this.drawFaithfulness(fact, note);
    const { line } = this;
    if (data.cut === null) return;
    line.setAttribute("aria-valuemin", data.least);
    line.setAttribute("aria-valuemax", data.heads.length);
    line.setAttribute("aria-valuenow", this.cut);
    const level = cutoff === null ? "" : `, ${data.sign} ${number(cutoff)} ${data.unit}`;
    line.setAttribute("aria-valuetext", `${this.cut} heads by the rule, ${count} in the circuit${level}`);
  }

  drawFaithfulness(fact, note) {
    const { curve, measuring, measurable, known } = this.data;
    const size = this.now.members.length;
    if (known) {
      const same = new Set([...known.heads.map(nameOf), ...this.now.members]).size;
      const answered = same === size && same === known.heads.length;
      this.root.querySelector("button").hidden = true;
      fact("faithfulness", answered ? known.value : "…");
      note("faithfulness", answered ? known.note : "");
      return;
    }
    this.root.querySelector("button").hidden = Boolean(curve) || measuring || !measurable;
    if (!curve) {
      fact("faithfulness", measurable && !measuring ? "" : "–");
      note("faithfulness", measuring ? "being measured" : measurable ? "" : this.data.why_not);
      return;
    }
    const distance = (n) => Math.abs(n - size);
    const at = curve.sizes.reduce((best, n, i) => (distance(n) < distance(curve.sizes[best]) ? i : best), 0);
    const byHand = this.now.added.length + this.now.removed.length ? ", edits by hand not counted" : "";
    fact("faithfulness", curve.values[at].toFixed(2).replace("-", "−"));
    note(
      "faithfulness",
      `${curve.measure}, measured at ${curve.sizes[at]} heads, the nearest size along this ranking${byHand}`,
    );
  }

  parameters() {
    const { base, head, group, per_group: perGroup } = this.data.parameters;
    const groups = new Set();
    let count = base;
    for (const name of this.now.members) {
      const [layer, index] = name.split(".").map(Number);
      count += head[layer];
      const shared = `${layer}.${Math.floor(index / perGroup)}`;
      if (!groups.has(shared)) count += group[layer];
      groups.add(shared);
    }
    return count;
  }

  // a cut that the rule can express: a threshold does not separate equal scores
  snap(cut) {
    const { heads, values, least, rule } = this.data;
    let to = Math.min(Math.max(cut, least), heads.length);
    while (rule === "threshold" && to > 0 && to < heads.length && values[to] === values[to - 1]) to++;
    return to;
  }

  move(cut) {
    const to = this.snap(cut);
    if (to === this.cut) return;
    this.cut = to;
    this.draw();
  }

  grab(event) {
    if (this.data.cut === null || event.button) return;
    this.track.setPointerCapture(event.pointerId);
    this.line.focus({ preventScroll: true });
    this.dragging = true;
    this.drag(event);
    event.preventDefault();
  }

  drag(event) {
    this.move(this.cutAt(event.clientX - this.track.getBoundingClientRect().left));
  }

  release() {
    if (!this.dragging) return;
    this.dragging = false;
    this.commit();
  }

  key(event) {
    const ends = { Home: this.data.least, End: this.data.heads.length };
    if (event.key in ends) this.move(ends[event.key]);
    else if (event.key in STEPS) this.step(STEPS[event.key]);
    else return;
    event.preventDefault();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.commit();
    }, KEY_PAUSE);
  }

  // over equal scores at once, in both directions
  step(by) {
    let to = this.cut + by;
    while (by < 0 && to > this.data.least && this.snap(to) >= this.cut) to--;
    this.move(to);
  }

  commit() {
    if (this.cut === this.data.cut) return;
    this.post({ cut: this.cut });
  }

  click(head) {
    const [name, { byRule, members }] = [nameOf(head), this.now];
    if (members.includes(name)) {
      this.added.delete(name);
      if (byRule.has(name)) this.removed.add(name);
    } else {
      this.removed.delete(name);
      if (!byRule.has(name)) this.added.add(name);
    }
    this.draw();
    const pairs = (names) => [...names].map((one) => one.split(".").map(Number));
    this.post({ head: [...head], added: pairs(this.added), removed: pairs(this.removed) });
  }

  post(change) {
    memory.seq += 1;
    memory.sent = performance.now();
    if ("cut" in change) this.data = { ...this.data, cut: change.cut, threshold: null };
    this.send("change", { seq: memory.seq, rule: this.data.rule, ...change });
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".score-strip");
  root.strip ??= new Strip(root);
  root.strip.update(data, setTriggerValue);
  return () => root.strip.disconnect();
}
