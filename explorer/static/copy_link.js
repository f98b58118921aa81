// Copies the address of the page, which holds the session's choices. `copied` becomes true when it
// is in the clipboard; otherwise the address is shown, selected, to be copied by hand.

function copyByHand(text) {
  const field = document.createElement("textarea"); // where the browser offers no clipboard: http
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByHand(text);
  }
}

export default function ({ parentElement, setTriggerValue }) {
  parentElement.querySelector("button").onclick = async () => {
    const copied = await copy(window.location.href);
    parentElement.querySelector("span").textContent = copied
      ? ""
      : "Copy the address from the browser's address field.";
    if (copied) setTriggerValue("copied", true);
  };
}
