// The order of the processes: every contender once, then every one again, so that other work on the machine
// meets all of them alike. One that fails is told and left out of the rounds that follow.
import type { Contender, Figures } from './contender.js'

/** How one process ended. */
export type Outcome =
  | { readonly status: 'ok'; readonly figures: Figures }
  | { readonly status: 'skipped' | 'failed'; readonly reason: string }

/** What a contender's rounds gave. */
export type Rounds =
  | { readonly status: 'ok'; readonly rounds: readonly Figures[] }
  | { readonly status: 'skipped' | 'failed'; readonly reason: string }

/** @returns In the order of the contenders; of one that failed in any round nothing but the reason. */
export async function inTurn(
  contenders: readonly Contender[],
  rounds: number,
  run: (contender: Contender, round: number) => Promise<Outcome>,
): Promise<readonly Rounds[]> {
  const results: Rounds[] = contenders.map(() => ({ status: 'ok', rounds: [] }))
  for (let round = 1; round <= rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      const before = results[index] as Rounds
      if (before.status !== 'ok') continue
      const outcome = await run(contender, round)
      results[index] =
        outcome.status === 'ok'
          ? { status: 'ok', rounds: [...before.rounds, outcome.figures] }
          : outcome
    }
  }
  return results
}
