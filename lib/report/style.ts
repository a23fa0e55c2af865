// The look of a report: one sheet for light and dark, from 320 pixels on. Text has a contrast of at
// least 4.5 to 1, lines and areas of 3 to 1 against what they stand on.

const LIGHT = `
  --page:#f6f7f9; --card:#ffffff; --text:#1b2330; --soft:#566072; --rule:#dfe3ea; --grid:#e8ebf0;
  --link:#1d5fc4; --tip:#ffffff; --good:#0b7a4b; --note:#8a5200;
  --s0:#1f6fd6; --s1:#d2600a; --s2:#0b8a72; --s3:#b5338a; --s4:#6a51c9; --s5:#7a7a00; --s6:#b3261e; --s7:#3f6b7d;
  --forward:#3b82e0; --losses:#d98a00; --backward:#b04ec4; --update:#1e9e73;`

const DARK = `
  --page:#11151b; --card:#1a2029; --text:#e8ecf2; --soft:#a7b1c0; --rule:#2f3846; --grid:#28303c;
  --link:#8ab8ff; --tip:#232b37; --good:#5fd3a0; --note:#ffc46b;
  --s0:#6aa8ff; --s1:#ff9d57; --s2:#3fcfb0; --s3:#f083c6; --s4:#b3a0ff; --s5:#d0cf5a; --s6:#ff8a80; --s7:#8fc1d4;
  --forward:#5b9df5; --losses:#e8ab3d; --backward:#cf7fe0; --update:#3fbf92;`

const SERIES = Array.from(
  { length: 8 },
  (_, k) =>
    `.line.s${k}{stroke:var(--s${k})}.band.s${k},.mark.s${k},.key .s${k},.tip .s${k}{fill:var(--s${k})}`,
).join('\n')

const PHASE_COLORS = ['forward', 'losses', 'backward', 'update']
  .map((name) => `.p-${name}{fill:var(--${name})}`)
  .join('')

export const STYLE = `
:root{color-scheme:light dark;${LIGHT}}
@media (prefers-color-scheme:dark){:root{${DARK}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1180px;margin:0 auto;padding:28px 24px 56px}
header{margin-bottom:22px}
h1{font-size:1.65rem;line-height:1.25;margin:0 0 6px;overflow-wrap:anywhere;letter-spacing:-.01em}
h2{font-size:1.15rem;margin:0 0 6px}
h3{font-size:.95rem;margin:18px 0 4px}
p{margin:6px 0}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
a{color:var(--link)}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin-top:10px;font-size:.9rem}
.soft,.axis,figcaption+p{color:var(--soft)}
.state{display:inline-block;font-size:.8rem;font-weight:600;border:1px solid currentColor;border-radius:99px;padding:1px 10px}
.done{color:var(--good)}.going{color:var(--note)}
section{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:18px 20px;margin-bottom:18px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 18px;padding:0}
.cards div{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:12px 16px}
.cards dt{color:var(--soft);font-size:.82rem}
.cards dd{margin:2px 0 0;font-size:1.45rem;font-weight:650;letter-spacing:-.01em;line-height:1.25;font-variant-numeric:tabular-nums}
.cards dd+dd{font-size:.82rem;font-weight:400;letter-spacing:0;color:var(--soft)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:8px 34px}
figure{margin:12px 0 8px;min-width:0}
figcaption{font-weight:600;font-size:.95rem;overflow-wrap:anywhere}
.axis{font-size:12px;margin:2px 0 20px}
.plot{padding:0 8px 44px 62px}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 14px;margin:4px 0;padding:0;font-size:.82rem;color:var(--soft)}
.legend li{display:inline-flex;align-items:center;gap:6px;overflow-wrap:anywhere}
.key{flex:none}
svg{overflow:visible}
svg.chart{display:block}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft);font-variant-numeric:tabular-nums}
.grid{stroke:var(--grid)}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.band{opacity:.16}
${SERIES}
.area{opacity:.82}
${PHASE_COLORS}
.boundary{stroke:var(--text);stroke-width:1;stroke-dasharray:2 3;opacity:.65}
.peak{stroke:var(--text);stroke-width:1;stroke-dasharray:5 4}
.catch{fill:transparent}
.tip{visibility:hidden;pointer-events:none}
.slice:hover .tip{visibility:visible}
.tip line{stroke:var(--soft)}
.tip rect{fill:var(--tip);stroke:var(--rule)}
.tip text{fill:var(--text)}
.tip .strong{font-weight:650}
details{margin-top:6px;font-size:.88rem}
summary{cursor:pointer;color:var(--link);width:fit-content;border-radius:4px}
.scroll{overflow-x:auto;max-height:420px;margin-top:8px;border-radius:6px}
#configuration .scroll,#differences .scroll{max-height:none}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:5px 12px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:2px}
tbody th{font-weight:500}
thead th{color:var(--soft);font-weight:600;white-space:normal;vertical-align:bottom}
table.settings th{text-align:left}
table.settings td{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:10em}
.strip{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,310px),1fr));gap:14px 34px}
.strip figure{margin:4px 0}
.images{max-width:430px;display:grid;grid-template-columns:5.6em repeat(4,minmax(0,88px));gap:5px;align-items:center;font-size:.78rem;color:var(--soft)}
.images img{display:block;width:100%;aspect-ratio:1;border-radius:4px;image-rendering:pixelated;background:var(--grid)}
.images b{font-weight:400;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;text-align:center}
footer{color:var(--soft);font-size:.85rem;padding:0 4px}
@media (max-width:560px){
  main{padding:18px 12px 40px}
  section{padding:14px 12px}
  h1{font-size:1.3rem}
  .cards{grid-template-columns:1fr 1fr;gap:8px}
  .cards div{padding:10px 12px}
  .cards dd{font-size:1.15rem}
  .plot{padding-left:54px}
  .wide{display:none}
}
@media print{body{background:none}section{break-inside:avoid;border:0;padding:0}details,nav{display:none}}
`
