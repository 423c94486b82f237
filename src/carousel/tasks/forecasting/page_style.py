"""The style sheet of a page of forecasts: light and dark, wide and narrow."""

from __future__ import annotations

# The light colours are those of ``panels``; on dark ground blue and ink are lighter.
STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --ink: #1a1a1a; --faint: #8c8c8c; --line: #dddddd; --stripe: #f6f6f6;
  --series-0: #0072b2; --series-1: #d55e00; --series-2: #009e73;
  --series-3: #cc79a7; --series-4: #e69f00; --series-5: #56b4e9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #161616; --ink: #e8e8e8; --faint: #8c8c8c; --line: #3a3a3a; --stripe: #1f1f1f;
    --series-0: #56b4e9; --series-1: #f0803c; --series-2: #2cc79a; --series-5: #3d8fd1;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.6rem; }
p { max-width: 50rem; margin: 0.4rem 0; overflow-wrap: anywhere; }
.verdict {
  font-size: 1.15rem; border-left: 0.3rem solid var(--series-0); padding: 0.3rem 0 0.3rem 0.9rem;
}
.scope, footer { color: var(--ink); opacity: 0.8; font-size: 0.9rem; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 0.6rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr));
  gap: 1.2rem 1.6rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; font-size: 0.95rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.scroll svg { display: block; width: 100%; min-width: 20rem; max-width: 36rem; height: auto; }
.scroll svg * { stroke-linejoin: round; stroke-linecap: butt; }
.scroll svg text { font-family: inherit; }
.table { max-height: 30rem; overflow: auto; border: 1px solid var(--line); border-radius: 4px;
  width: fit-content; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.7rem; text-align: right; white-space: nowrap; }
td.words, th.words { text-align: left; }
th.words { max-width: 18rem; overflow-wrap: anywhere; white-space: normal; min-width: 10rem; }
thead th { position: sticky; top: 0; background: var(--ground);
  border-bottom: 2px solid var(--line); vertical-align: bottom; white-space: normal;
  min-width: 5.5rem; }
tbody th { font-weight: 500; }
tbody tr:nth-child(even) { background: var(--stripe); }
@media print { .table { max-height: none; } }
"""
