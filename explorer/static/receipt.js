// The cards of receipts close with Escape, which gives the focus back to the mark, and with a click
// elsewhere; opening another one closes the first.
//
// The listeners are on the window and come before those of the page: where a card is open, Escape
// does nothing else.

const opened = () => [...document.querySelectorAll(".receipt[open]")];

export default function () {
  const onKey = (event) => {
    const cards = opened();
    if (event.key !== "Escape" || !cards.length) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    for (const card of cards) card.open = false;
    cards.at(-1).querySelector("summary").focus();
  };
  const closeOthers = (event) => {
    for (const card of opened()) if (!card.contains(event.target)) card.open = false;
  };
  const onToggle = (event) => {
    if (event.target.matches?.(".receipt[open]")) closeOthers(event);
  };
  window.addEventListener("keydown", onKey, true);
  window.addEventListener("pointerdown", closeOthers, true);
  window.addEventListener("toggle", onToggle, true); // it does not bubble
  return () => {
    window.removeEventListener("keydown", onKey, true);
    window.removeEventListener("pointerdown", closeOthers, true);
    window.removeEventListener("toggle", onToggle, true);
  };
}
