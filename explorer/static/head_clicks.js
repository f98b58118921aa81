// Clicks on a head map, for the server. Each has a number; those that the server has not answered yet
// are sent again with the next one, so that none is lost when it skips a message or answers late.

const MOST = 100; // clicks that wait for an answer

const clicks = (window.ctsftClicks ??= {}); // {key of a chart: {seq, waiting}}

export default function ({ data, setTriggerValue }) {
  const state = (clicks[data.container] ??= { seq: 0, waiting: [] });
  state.seq = Math.max(state.seq, data.seq);
  state.waiting = state.waiting.filter((click) => click.seq > data.seq);
  followHeads(data.container, (head) => {
    state.seq += 1;
    state.waiting = [...state.waiting, { seq: state.seq, head }].slice(-MOST);
    setTriggerValue("clicks", state.waiting);
  });
}
