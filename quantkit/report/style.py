"""The style of the report pages: one style sheet, no external font, image or script."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1b2330; --muted: #5c6675; --grid: #e3e7ed; --page: #f5f6f8; --card: #ffffff;
  --line: #dfe3e9; --accent: #2f62c9; --head: #eef1f6;
  --gone: #fbd9d6; --gone-ink: #9c1f14; --other: #d9e6fb; --other-ink: #173f80;
  --model-0: #4a5a74; --model-1: #d9722e; --model-2: #2c9c8c; --model-3: #b9467f;
  --model-4: #7d63cc; --model-5: #2f7dd1; --model-6: #84912b; --model-7: #b5433a;
  --model-8: #8a5a2b; --model-9: #1f6f4a; --model-10: #c79a00; --model-11: #6b2d5c;
  --model-12: #56a5c9; --model-13: #e58a9b; --model-14: #3a3f9e; --model-15: #7a8a8c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e7eaf0; --muted: #9aa5b5; --grid: #2b323d; --page: #12151a; --card: #1a1f26;
    --line: #2d3541; --accent: #86acf5; --head: #222933;
    --gone: #54211d; --gone-ink: #ffb9b1; --other: #203a66; --other-ink: #bcd5ff;
    --model-0: #94a3bd; --model-1: #f0935a; --model-2: #50c4b2; --model-3: #e277ab;
    --model-4: #a893ee; --model-5: #6aabf2; --model-6: #b3c150; --model-7: #e5776d;
    --model-8: #c99a6a; --model-9: #5fc392; --model-10: #ecc94b; --model-11: #c98bb8;
    --model-12: #9ad8f2; --model-13: #ffb8c4; --model-14: #9297f0; --model-15: #b4c3c5;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main, header > div { max-width: 1240px; margin: 0 auto; padding: 0 24px; }
header { background: var(--card); border-bottom: 1px solid var(--line); padding: 28px 0 22px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 1.22rem; margin: 44px 0 12px; letter-spacing: -.005em; }
h3 { font-size: 1rem; margin: 0 0 2px; }
p { margin: 0 0 10px; }
a { color: var(--accent); }
.muted, figcaption, .caption { color: var(--muted); font-size: .875rem; }
.caption { margin: 8px 2px 0; max-width: 95ch; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin-top: 14px; font-size: .92rem; }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
.cards { display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fit, minmax(min(330px, 100%), 1fr)); }
.card, figure, .scroll, details {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
}
.card { padding: 14px 16px; border-left: 4px solid var(--colour, var(--line)); }
.card, .legend, h1, header p { overflow-wrap: anywhere; }
.card p { margin: 0; font-size: .94rem; }
.card .muted { margin-top: 3px; font-size: .84rem; }
.notes { margin: 20px 0 0; padding: 12px 16px 12px 34px; background: var(--head);
  border: 1px solid var(--line); border-left: 4px solid var(--ink); border-radius: 10px;
  overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 8px 12px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { background: var(--head); font-weight: 600; color: var(--muted); font-size: .82rem; }
tbody th { font-weight: 600; }
tbody th.text { white-space: normal; overflow-wrap: anywhere; min-width: 12em; max-width: 24em; }
tbody th.text .chip { float: left; margin-top: .4em; }
.text { text-align: left; }
td.interval { color: var(--muted); font-size: .84rem; padding-left: 0; }
.wrap { white-space: normal; min-width: 9em; }
.chip { display: inline-block; width: .72em; height: .72em; border-radius: 3px;
  background: var(--colour); margin-right: .5em; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: .9rem; padding: 9px 14px;
  margin-bottom: 14px; position: sticky; top: 0; z-index: 2; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
.plots { display: grid; gap: 16px; grid-template-columns: repeat(2, minmax(0, 1fr)); }
figure { margin: 0; padding: 16px 18px 14px; display: flex; flex-direction: column; }
figure svg { width: 100%; height: auto; display: block; margin: 4px 0 8px; }
figure svg text { font-family: inherit !important; paint-order: stroke; stroke: var(--card);
  stroke-width: 3px; stroke-linejoin: round; }
figure.wide { grid-column: 1 / -1; }
details { margin-bottom: 10px; }
summary { padding: 11px 16px; cursor: pointer; font-weight: 600; }
summary .muted { font-weight: 400; margin-left: .6em; }
.groups { display: grid; gap: 0 26px; padding: 2px 16px 10px;
  grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); }
.groups h3 { margin: 8px 0 0; }
.utterance { padding: 9px 0; border-top: 1px solid var(--line); font-size: .9rem; }
h3 + .utterance { border-top: 0; }
.utterance .id { color: var(--muted); font-size: .76rem; overflow-wrap: anywhere; }
.pair { display: grid; grid-template-columns: max-content 1fr; column-gap: .8em;
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .82rem;
  line-height: 1.55; }
.pair dt { color: var(--muted); }
.pair dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { margin: 2px 0 0; }
mark { border-radius: 3px; padding: 0 1px; background: var(--other); color: var(--other-ink); }
mark.only { background: var(--gone); color: var(--gone-ink); }
.host { display: grid; grid-template-columns: max-content 1fr; gap: 5px 22px; padding: 14px 16px;
  margin: 0; font-size: .92rem; }
.host dt { color: var(--muted); }
.host dd { margin: 0; overflow-wrap: anywhere; }
.reading li { margin-bottom: 6px; max-width: 95ch; }
footer { color: var(--muted); font-size: .84rem; margin: 44px 0 30px; }
@media (max-width: 860px) {
  .plots { grid-template-columns: minmax(0, 1fr); }
  main, header > div { padding: 0 14px; }
  .legend { position: static; }
  figure.wide svg { min-width: 640px; }
  figure.wide { overflow-x: auto; }
  figure.wide > h3, figure.wide > figcaption { position: sticky; left: 0; }
}
@media print {
  body { background: none; font-size: 12px; }
  .card, figure, .scroll, details { break-inside: avoid; }
  .legend, nav { display: none; }
}
"""
