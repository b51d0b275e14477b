"""How the page looks: light and dark, wide and narrow, on paper."""

SERIES = 8  # colours before they repeat

LIGHT = """
  --page: #ffffff; --raised: #f4f5f7; --ink: #16191d; --soft: #515a66; --line: #d4d8de;
  --good: #0b6b3a; --good-page: #e4f4ea; --bad: #a8121d; --bad-page: #fde8e8; --link: #0b57a4;
  --c0: #0b57a4; --c1: #b34700; --c2: #0b6b4f; --c3: #9a2a7a; --c4: #6b5300; --c5: #4b3fb3;
  --c6: #007082; --c7: #9c1c2c;
"""
DARK = """
  --page: #14171b; --raised: #1e2329; --ink: #eceff3; --soft: #aab3bf; --line: #3b434d;
  --good: #6fdc9c; --good-page: #12301f; --bad: #ff9b9b; --bad-page: #3f1618; --link: #8cc2ff;
  --c0: #8cc2ff; --c1: #ffb070; --c2: #6fdcb8; --c3: #f0a0dc; --c4: #e3c75a; --c5: #bdb3ff;
  --c6: #6fd8e8; --c7: #ff9b9b;
"""
RULES = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 1rem 1.25rem 3rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
a { color: var(--link); }
.soft, caption, figcaption { color: var(--soft); font-size: .9rem; }
nav { font-size: .9rem; margin: 1rem 0 0; line-height: 2; }
nav a { margin-right: 1rem; white-space: nowrap; }
.verdict { padding: 1rem 1.25rem; border-radius: .5rem; border-left: .4rem solid; }
.verdict p { font-size: 1.1rem; max-width: none; }
.verdict.passed { background: var(--good-page); border-color: var(--good); }
.verdict.failed { background: var(--bad-page); border-color: var(--bad); }
.passed strong, .pass { color: var(--good); font-weight: 700; }
.failed strong, .fail { color: var(--bad); font-weight: 700; }
.verdict ul { margin: .5rem 0 0; padding-left: 1.25rem; }
.tiles { display: grid; gap: .75rem; margin: 1rem 0; padding: 0;
  grid-template-columns: repeat(auto-fit, minmax(9.4rem, 1fr)); }
.tiles > div { background: var(--raised); border-radius: .5rem; padding: .75rem 1rem; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.6rem; font-weight: 650; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.tiles dd.missing { font-size: 1.05rem; color: var(--soft); }
.tiles dd + dd { font-size: .8rem; font-weight: 400; color: var(--soft); line-height: 1.4; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
th { font-weight: 500; }
.word { text-align: left; }
.number { text-align: right; white-space: nowrap; }
tbody th.word { white-space: nowrap; position: sticky; left: 0; background: var(--page); }
td.word { min-width: 7rem; }
td.word:last-child { min-width: 13rem; }
td small, th small { display: block; color: var(--soft); font-weight: 400; font-size: .85em; }
tr.group th { text-align: left; font-weight: 600; background: var(--raised); }
tr.group span { display: inline-block; position: sticky; left: .6rem;
  max-width: calc(100vw - 3.5rem); }
tr.released th, tr.released td.number { font-weight: 650; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
figure { margin: 1rem 0; max-width: 42rem; }
svg.picture { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); stroke: var(--page); stroke-width: 3px; paint-order: stroke;
  font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
svg .minor { fill: var(--soft); }
svg .strong { font-weight: 650; }
svg .axis { stroke: var(--soft); fill: none; }
svg .grid { stroke: var(--line); fill: none; }
svg .rule { stroke: var(--soft); stroke-dasharray: 5 4; fill: none; }
svg .series { stroke: var(--c); fill: none; stroke-width: 2; }
svg .solid { stroke: var(--c); fill: var(--c); }
svg .hollow { stroke: var(--c); fill: var(--page); stroke-width: 2; }
svg .label { fill: var(--c); font-weight: 700; }
svg .teacher { fill: var(--ink); stroke: var(--ink); }
.legend { list-style: none; padding: 0; margin: .5rem 0; font-size: .9rem;
  display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
.legend svg { width: 34px; height: 14px; vertical-align: -2px; margin-right: .4rem; }
.legend b { color: var(--c); }
.bar { display: inline-block; height: .7rem; width: 8rem; background: var(--raised);
  border: 1px solid var(--line); vertical-align: middle; }
.bar i { display: block; height: 100%; background: var(--c0); }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--link); }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem;
  margin: .5rem 0; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; max-width: 46rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) {
  body { padding: .75rem .9rem 2rem; }
  h1 { font-size: 1.25rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: .5rem; }
  .tiles > div { padding: .6rem .7rem; }
  .tiles dd.value { font-size: 1.25rem; }
  th, td { padding: .3rem .5rem; }
  td.word:last-child { min-width: 19rem; }
  dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: .5rem; }
  svg text { font-size: 15px; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: .15rem .3rem; }
  thead .number, td small { white-space: normal; }
  td.word, td.word:last-child { min-width: 5rem; }
  figure { max-width: 30rem; }
  tr, figure { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""
STYLE = "\n".join(
    [
        f":root {{ color-scheme: light dark; {LIGHT} }}",
        f"@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}",
        f"@media print {{ :root {{ {LIGHT} }} }}",
        *(f".s{number} {{ --c: var(--c{number}); }}" for number in range(SERIES)),
        RULES.strip(),
    ]
)
