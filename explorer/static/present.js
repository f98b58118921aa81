// A presentation's keys: arrows, space and page keys lead to the next or previous picture, Escape
// leaves. Where the browser allows it, the whole screen is used from the click on Present until the
// presentation is left; leaving the full screen leaves the presentation.

const ACTIONS = {
  ArrowRight: "next",
  PageDown: "next",
  " ": "next",
  ArrowLeft: "previous",
  PageUp: "previous",
  Escape: "leave",
};

const isShown = () => document.querySelector(".st-key-present") !== null;

function enterFullscreen() {
  if (window.ctsftPresenting) return; // once in a presentation
  window.ctsftPresenting = true;
  if (document.fullscreenEnabled && navigator.userActivation?.isActive) {
    document.documentElement.requestFullscreen().catch(() => {});
  }
}

function leaveFullscreen() {
  window.ctsftPresenting = false;
  window.ctsftHeight = undefined;
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
}

export default function ({ setTriggerValue, setStateValue }) {
  const onKey = (event) => {
    const onControl = event.key === " " && event.target.closest?.("button, summary");
    const inCard = event.target.closest?.(".receipt-card"); // it scrolls
    const action = ACTIONS[event.key];
    if (!action || onControl || inCard || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    setTriggerValue("action", action);
  };
  const onFullscreen = () => {
    if (document.fullscreenElement || !isShown()) return;
    const card = document.querySelector(".receipt[open]"); // Escape closes only that
    if (!card) return setTriggerValue("action", "leave");
    card.open = false;
    card.querySelector("summary").focus();
  };
  const tellHeight = () => {
    if (window.ctsftHeight === window.innerHeight) return;
    window.ctsftHeight = window.innerHeight; // type and lines grow with it
    setStateValue("height", window.innerHeight);
  };
  document.addEventListener("keydown", onKey, true);
  document.addEventListener("fullscreenchange", onFullscreen);
  window.addEventListener("resize", tellHeight);
  enterFullscreen();
  tellHeight();
  return () => {
    document.removeEventListener("keydown", onKey, true);
    document.removeEventListener("fullscreenchange", onFullscreen);
    window.removeEventListener("resize", tellHeight);
    setTimeout(() => isShown() || leaveFullscreen(), 500);
  };
}
