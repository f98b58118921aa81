// Loads Streamlit's chart library while the browser has nothing else to do. data: its file's name.

const SCRIPT = "script[type=module][src]"; // Streamlit's own, in the same folder

export default function ({ data }) {
  const script = document.querySelector(SCRIPT);
  if (script) requestIdleCallback(() => import(new URL(data, script.src)).catch(() => {}));
}
