// Where panels stand on the grid. No part of a page is touched here.

const meet = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w;

// The panels, each moved up as far as those above it allow, so that none that was taken away leaves a hole; the order in
// which they are read stays. Panels that stay where they are, are the same objects.
export function compacted(panels) {
  const stood = [];
  for (const panel of [...panels].sort((a, b) => a.y - b.y || a.x - b.x)) {
    const y = Math.max(0, ...stood.filter((one) => meet(one, panel)).map((one) => one.y + one.h));
    stood.push(y < panel.y ? { ...panel, y } : panel);
  }
  const places = new Map(stood.map((panel) => [panel.id, panel]));
  return panels.map((panel) => places.get(panel.id));
}
