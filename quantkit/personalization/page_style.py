"""Additional styles of this page."""

from __future__ import annotations

STYLE = """
:root {
  --scale-0: #d5dcec; --scale-1: #b7c3df; --scale-2: #98a9d0; --scale-3: #7a8fc0;
  --scale-4: #5e75ad; --scale-5: #455b96; --scale-6: #2e4279; --scale-7: #a3a3a3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --scale-0: #3a4670; --scale-1: #4a5a8c; --scale-2: #5e71a9; --scale-3: #7589c3;
    --scale-4: #90a2d7; --scale-5: #afbde7; --scale-6: #d0d9f4; --scale-7: #8a8a8a;
  }
}
.card .figure { font-size: 1.45rem; font-weight: 650; letter-spacing: -.01em; line-height: 1.3; }
.examples .utterance:first-child { border-top: 0; }
.legend.here { position: static; margin: 0 0 10px; }
.legend .group { color: var(--muted); }
span.bar { display: block; min-width: 9em; width: 100%; }
.bar > span { display: block; height: .8em; border-radius: 3px; min-width: 2px;
  background: var(--accent); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.chip, figure svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.wrap { min-width: 0; }
span.name, span.why { display: block; min-width: 8em; }
span.name { overflow-wrap: anywhere; }
span.why { min-width: 14em; }
.plots + details { margin-top: 14px; }
details > .scroll { border: 0; border-radius: 0 0 10px 10px; }
details > .caption { padding: 0 16px 10px; }
@media (max-width: 860px) {
  th, td { padding: 7px 6px; }
  span.name { min-width: 6.6em; }
  span.why { min-width: 11em; }
  span.bar { min-width: 3em; }
}
"""
