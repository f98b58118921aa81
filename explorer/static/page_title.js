// The title of the browser's tab, which tells how far a job is while another tab is open. `data`:
// title.

export default function ({ data }) {
  if (document.title !== data.title) document.title = data.title;
}
