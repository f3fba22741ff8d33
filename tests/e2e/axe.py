"""What shuts people out of what a page shows, by axe."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# Colours are few and computed thousands of times: each is read once, for half of what a look at contrast takes. And
# rules are left out whose findings are none here, being less than serious.
AXE = (
    AXE_SCRIPT
    + """{
  const { prototype } = axe.commons.color.Color, read = prototype.parseString, known = new Map();
  prototype.parseString = function (text) {
    if (!known.has(text)) {
      read.call(this, text);
      known.set(text, [this.r, this.g, this.b, this.alpha]);
    } else [this.r, this.g, this.b, this.alpha] = known.get(text);
    return this;
  };
  for (const rule of axe._audit.rules) if (['minor', 'moderate'].includes(rule.impact)) rule.enabled = false;
}"""
)
SERIOUS = """axe.run(document, { resultTypes: ['violations'], selectors: false, preload: false, iframes: false })
  .then((found) => found.violations.filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)}`))"""


def barred(page: Page) -> list[str]:
    """Serious and critical findings with their first element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: list[str] = page.evaluate(SERIOUS)
    return found
