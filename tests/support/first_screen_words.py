"""What a visitor sees of a page before scrolling: its words, and counters that are cut off."""

from playwright.sync_api import Page

MOST_WORDS = 120  # the sidebar's path and the words inside of charts included

# Text nodes with a box inside of the window that nothing hides; of charts, the axes' numbers do
# not count as words, and neither do icons. {place: words}
WORDS = r"""
() => {
  const found = {sidebar: [], page: [], chart: []};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const parent = node.parentElement;
    if (!parent || parent.closest('script, style, noscript')) continue;
    const icons = '[data-testid=stIconMaterial], [data-testid=stExpanderIcon]';
    if (parent.closest(`${icons}, [data-testid=stHeader]`)) continue;
    if (node.textContent === "Skip to main content") continue;  // shown to the keyboard only
    if (!parent.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || box.top >= innerHeight || box.bottom <= 0) continue;
    if (box.left >= innerWidth || box.right <= 0) continue;
    const words = node.textContent.split(/\s+/).filter(word => /\p{L}/u.test(word));
    const place = parent.closest('[data-testid=stSidebar]') ? 'sidebar'
      : parent.closest('svg') ? 'chart' : 'page';
    found[place].push(...words);
  }
  return found;
}
"""
CUT_COUNTERS = """
() => ['stMetricLabel', 'stMetricValue', 'stMetricDelta']
  .flatMap(name => [...document.querySelectorAll(`[data-testid=${name}]`)])
  .flatMap(one => [one, ...one.querySelectorAll('*')])
  .filter(one => one.clientWidth && one.scrollWidth > one.clientWidth + 1)
  .map(one => one.textContent)
"""


def words(page: Page) -> dict[str, list[str]]:
    """Words with a letter that stand above the window's lower edge, by place: the sidebar, the
    page, and inside of charts (titles, legends, labels).
    """
    return page.evaluate(WORDS)


def too_many(page: Page) -> str:
    """The words where there are more than `MOST_WORDS`; "" else."""
    shown = sum(words(page).values(), [])
    return " ".join([str(len(shown)), *shown]) if len(shown) > MOST_WORDS else ""


def cut_counters(page: Page) -> list[str]:
    """Texts of counters (st.metric) that do not fit their place."""
    return page.evaluate(CUT_COUNTERS)
