"""Numbers that a page shows as results, and whether a receipt covers them."""

from playwright.sync_api import Page

# Visible text nodes of the page with a number in them that is a result: not part of a control, a
# link, a help mark, a command, a heading, a progress bar, a name (L2.H3, SmolLM2-135M), a receipt,
# the buttons of a presentation.
# {where: [text]} for those that stand inside ("covered") and outside ("uncovered") of a receipt.
NUMBERS = r"""
() => {
  const found = {covered: [], uncovered: []};
  const controls = [
    'stSelectbox', 'stMultiSelect', 'stNumberInput', 'stTextInput', 'stTextArea', 'stSlider',
    'stRadio', 'stButton', 'stButtonGroup', 'stDownloadButton', 'stPageLink', 'stFileUploader',
    'stCode', 'stTooltipIcon', 'stCheckbox', 'stProgress', 'stPopover', 'stSpinner',
  ].map(name => `[data-testid=${name}]`).join(', ') + ', .st-key-present-head';
  const walker = document.createTreeWalker(
    document.querySelector('[data-testid=stMain]'), NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const parent = node.parentElement;
    if (!parent || parent.closest('script, style, summary, h1, h2, h3, .receipt')) continue;
    if (parent.closest(controls)) continue;
    if (!parent.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    const text = node.textContent.replace(/[\p{L}_]+-?\d[-\w.]*/gu, '');
    if (!/\d/.test(text)) continue;
    const cover = parent.closest('[class*="st-key-receipt-"]');
    const marked = cover && cover.querySelector('.receipt .receipt-card dd');
    found[marked ? 'covered' : 'uncovered'].push(node.textContent.trim());
  }
  for (const frame of document.querySelectorAll('[data-testid=stMain] [data-testid=stDataFrame]')) {
    const cover = frame.closest('[class*="st-key-receipt-"]');
    const marked = cover && cover.querySelector('.receipt .receipt-card dd');
    found[marked ? 'covered' : 'uncovered'].push(frame.ariaLabel || 'a table');
  }
  return found;
}
"""


def numbers(page: Page) -> dict[str, list[str]]:
    """Texts with results, by whether a receipt covers them."""
    return page.evaluate(NUMBERS)
