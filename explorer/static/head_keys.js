// Arrow keys lead from head to head while the map or the card of the head has the focus: to the cell
// that lies in that direction on the map, whichever way its layers run.
//
// The browser counts the heads itself, so that keys pressed in quick succession add up; the server's
// head counts again once it has seen the last of them.

const STEPS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const OWN_KEYS = "input, textarea, select, [role=slider], [role=combobox], [contenteditable=true]";

const within = (value, count) => Math.min(Math.max(value, 0), count - 1);

function moved([layer, head], [across, down], { layers, heads, sideways, flip }) {
  const along = (sideways ? across : down) * (flip ? -1 : 1); // from layer to layer
  return [within(layer + along, layers), within(head + (sideways ? down : across), heads)];
}

export default function ({ data, setTriggerValue }) {
  const state = (window.ctsftHeadKeys ??= { seq: 0, head: null });
  if (data.seq >= state.seq) {
    state.seq = data.seq;
    state.head = data.head;
  }
  const places = data.places.map((name) => `.st-key-${name}`).join(", ");
  const makeFocusable = () => {
    for (const place of document.querySelectorAll(places)) {
      if (place.tabIndex === 0) continue;
      place.tabIndex = 0;
      place.setAttribute("role", "group");
      place.setAttribute("aria-label", "Heads: arrow keys select the next one");
    }
  };
  const onKey = (event) => {
    const step = STEPS[event.key];
    const target = event.target;
    if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (!target.closest?.(places) || target.closest(OWN_KEYS)) return;
    event.preventDefault();
    const next = moved(state.head, step, data);
    if (next[0] === state.head[0] && next[1] === state.head[1]) return;
    state.head = next;
    state.seq += 1;
    setTriggerValue("head", { seq: state.seq, head: next });
  };
  // each answer of the server comes here; a listener of an earlier answer would step once more
  state.stop?.();
  const observer = new MutationObserver(makeFocusable);
  observer.observe(document.body, { childList: true, subtree: true });
  makeFocusable();
  document.addEventListener("keydown", onKey);
  const stop = () => {
    observer.disconnect();
    document.removeEventListener("keydown", onKey);
  };
  state.stop = stop;
  return stop;
}
