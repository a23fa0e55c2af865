// Which card each rank has: all ranks train on the CPU or all on CUDA, and no two on the same card, which
// NCCL would refuse in words of its own, or wait for.
import { randomUUID } from 'node:crypto'
import { LocalformerError } from '../base/errors.js'
import { exchange } from '../distributed/group.js'
import { loadCuda, simulatedCard } from '../native/load.js'

/**
 * Every rank asks at once, with the device of its network.
 *
 * @throws {LocalformerError} `ERR_CONFIG`; `ERR_DEVICE_UNAVAILABLE` on CUDA without the addon's CUDA part.
 */
export async function checkCards(device: string): Promise<void> {
  checkApart(await exchange('card', cardOf(device)))
}

/**
 * @internal
 * @param cards What each rank's card is called; '' for the CPU.
 */
export function checkApart(cards: readonly string[]): void {
  const onCpu = cards.indexOf('')
  const onCard = cards.findIndex((card) => card !== '')
  if (onCpu >= 0 && onCard >= 0) {
    throw new LocalformerError(
      'ERR_CONFIG',
      `Rank ${onCpu} trains on the CPU and rank ${onCard} on CUDA`,
      { hint: 'Give all ranks the same device: cpu, or cuda with a card each.' },
    )
  }
  for (const [rank, card] of cards.entries()) {
    const first = cards.indexOf(card)
    if (card === '' || first === rank) continue
    throw new LocalformerError(
      'ERR_CONFIG',
      `Ranks ${first} and ${rank} are on the same card, and NCCL does not connect a card with itself`,
      {
        hint:
          'Start one process for each card, with device cuda, which takes the card of LOCAL_RANK, or ' +
          'another cuda:N for each.',
      },
    )
  }
}

/** What no other card is called; '' for the CPU. */
function cardOf(device: string): string {
  if (device === 'cpu') return ''
  // Every process simulates a card of its own.
  if (simulatedCard() !== undefined) return randomUUID()
  return loadCuda().deviceProperties(Number(device.slice('cuda:'.length))).uuid
}
