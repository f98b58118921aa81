// A text, token by token. `data`: tokens, effects (logits, by source token), attention [from][to],
// readout (its place), unit.

const COLOURS = ["63, 150, 135", "162, 116, 189"]; // of the map's scale: against, for
const MOST_NAMED = 3;

const number = (value) => String(Number(value.toPrecision(3))).replace("-", "−");

export default function ({ data, parentElement }) {
  const list = parentElement.querySelector(".tokens");
  const reading = parentElement.querySelector(".reading");
  const largest = Math.max(...data.effects.map(Math.abs)) || 1;

  const showAttention = (from) => {
    const row = data.attention[from];
    const most = Math.max(...row) || 1;
    [...list.children].forEach((token, i) => {
      token.style.borderBottomColor = `rgba(224, 117, 31, ${(row[i] ?? 0) / most})`;
    });
    const order = row.map((weight, i) => [weight, i]).sort((one, other) => other[0] - one[0]);
    const named = order
      .slice(0, MOST_NAMED)
      .map(([weight, i]) => `“${data.tokens[i].trim() || "␣"}” ${weight.toFixed(2)}`)
      .join(", ");
    const who = from === data.readout ? "The readout" : `“${data.tokens[from].trim() || "␣"}”`;
    const effect = `From “${data.tokens[from].trim() || "␣"}”: ${number(data.effects[from])} logits. `;
    reading.textContent = `${from === data.readout ? "" : effect}${who} attends to ${named}.`;
  };

  list.replaceChildren(
    ...data.tokens.map((text, i) => {
      const token = document.createElement("span");
      token.textContent = text;
      token.setAttribute("role", "listitem");
      token.tabIndex = 0;
      token.title = `${number(data.effects[i])} logits`;
      token.classList.toggle("readout", i === data.readout);
      const strength = 0.75 * (Math.abs(data.effects[i]) / largest);
      token.style.background = `rgba(${COLOURS[Number(data.effects[i] >= 0)]}, ${strength})`;
      token.onpointerenter = token.onfocus = () => showAttention(i);
      return token;
    }),
  );
  list.onpointerleave = () => showAttention(data.readout);
  showAttention(data.readout);
}
