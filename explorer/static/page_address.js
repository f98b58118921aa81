// Writes the session's choices into the address of the page, so that reloading, another tab and a
// copied link open the same view. `data`: page (its name in the address; the first page has none),
// others (the names of the other pages), query (without "?").

export default function ({ data }) {
  const address = new URL(window.location.href);
  const shown = address.pathname.replace(/\/+$/, "").split("/").pop();
  const left = data.page ? shown !== data.page : data.others.includes(shown);
  if (left || address.search.slice(1) === data.query) return;
  address.search = data.query;
  window.history.replaceState(window.history.state, "", address);
}
