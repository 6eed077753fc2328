"""Additional styles of this page."""

from __future__ import annotations

STYLE = """
:root {
  --scale-0: #f7cf83; --scale-1: #f3a953; --scale-2: #e87f50; --scale-3: #d35d6d;
  --scale-4: #ad4f90; --scale-5: #7f55ab; --scale-6: #4f5cb0; --scale-7: #8a94a3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --scale-0: #ffdf9a; --scale-1: #f8b968; --scale-2: #f0946b; --scale-3: #e4758b;
    --scale-4: #c76db2; --scale-5: #a07cd4; --scale-6: #7d8ee6; --scale-7: #8d98a8;
  }
}
.card .figure { font-size: 1.45rem; font-weight: 650; letter-spacing: -.01em; line-height: 1.3; }
.examples .pair { grid-template-columns: 4.6em 1fr; }
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
