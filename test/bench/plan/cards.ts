// The largest batches that are planned for cards, and whether just those can be trained there.

import { markdownTable } from '../../../lib/cli/markdown.js'
import {
  type PlanOnTrial,
  type RandomPlan,
  randomPlans,
  tryPlan,
} from '../../helpers/card-trial.js'

const SEED = 20_261_129
const COUNT = 30
const CHOICES = {
  cards: ['rtx3060', 'rtx4060', 'rtx2080ti', 'rtx3080', '4GiB,sm_80', '6GiB,sm_90', '8GiB,sm_120'],
  networks: [
    ['tiny', 224],
    ['small', 224],
  ],
  runs: [
    'backprop,recompute=none',
    'backprop',
    'backprop,recompute=block',
    'backprop,recompute=block,accumulate=4',
    'paper:2',
    'paper:4,recompute=none',
    'paper:4,split=balanced',
    'paper:4,split=balanced,recompute=block',
    'paper:4,dtype=bfloat16',
    'backprop,dtype=bfloat16',
    'paper:8,split=balanced,offload=modules',
    'greedy:4,recompute=block',
    'paper:4,decoder=transformer',
    'trgl:4',
  ],
} as const

export interface CardRow extends RandomPlan, PlanOnTrial {}

/** Side by side: nothing is timed. */
const PROCESSES = 2

export async function cardRows(tell: (text: string) => void): Promise<CardRow[]> {
  const rows: CardRow[] = []
  const waiting = randomPlans(SEED, COUNT, CHOICES).entries()
  let done = 0
  const work = async () => {
    for (const [k, one] of waiting) {
      const row = { ...one, ...(await tryPlan(one)) }
      rows[k] = row
      const { run, variant, imageSize, card, possible } = row
      const verdict = isKept(row) ? 'as planned' : 'NOT as planned'
      tell(
        `${++done} of ${COUNT}: ${run}, ${variant}, ${imageSize} px on ${card}: ${possible}, ${verdict}`,
      )
    }
  }
  await Promise.all(Array.from({ length: PROCESSES }, work))
  return rows
}

/** The planned batch trains both steps, the next one does not. */
export function isKept({ trained, trainedNext }: PlanOnTrial): boolean {
  return trained === 2 && trainedNext < 2
}

export function cardTable(rows: readonly CardRow[]): string {
  const cells = rows.map((row) => [
    ...[row.card, row.variant, `${row.imageSize}`, `\`${row.run}\``],
    ...[`${row.safe}`, `${row.possible}`],
    ...[row.trained === 2 ? 'trains' : 'FAILS', row.trainedNext < 2 ? 'fails' : 'TRAINS'],
  ])
  const head = ['card', 'Swin', 'px', 'run', 'fits', 'possible', 'it', 'one more']
  return [
    markdownTable(head, cells, 'llrlrrll'),
    '',
    `${rows.length} drawn by chance (seed ${SEED}); ${rows.filter(isKept).length} as planned.`,
  ].join('\n')
}
