// Published figures of GPU memory beside those of the simulated device, each by a program of its own.
// node dist/test/bench/fidelity.js [--json|--markdown] [FILTER...]: the table; asserts nothing.
import { parseArgs } from 'node:util'
import { runScript } from '../../scripts/lib/script.js'
import { pythonName, runOnCard, whyNoPython } from '../helpers/simulated-python.js'
import { CASES } from './fidelity/cases.js'
import { asMarkdown, asText, type Row, rowOf, summaryOf, worstOf } from './fidelity/table.js'

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { json: { type: 'boolean' }, markdown: { type: 'boolean' } },
    allowPositionals: true,
  })
  const reason = whyNoPython(['torch', 'torchvision', 'timm'])
  if (reason !== undefined) {
    console.log(`SKIP: ${reason}`)
    return 0
  }
  const chosen = CASES.filter(
    ({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)),
  )
  const rows: Row[] = []
  let torch = ''
  for (const one of chosen) {
    process.stderr.write(`${rows.length + 1} of ${chosen.length}: ${one.name}\n`)
    const figures = runOnCard(one.card, one.program, one.args)
    torch = figures.torch
    rows.push(rowOf(one, figures[one.statistic]))
  }
  if (values.json) {
    console.log(JSON.stringify({ torch, worst: worstOf(rows), rows }, null, 2))
    return 0
  }
  console.log(
    `${values.markdown ? asMarkdown(rows) : asText(rows)}\n\n${summaryOf(rows)} torch ${torch}.`,
  )
  process.stderr.write(`${pythonName()}\n`)
  return 0
}

await runScript('bench:fidelity', main)
