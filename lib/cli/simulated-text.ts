// How figures of a simulated device are told apart from measured ones.
import type { CompareResult, CompareRow } from '../measure/compare.js'

/** `a simulated NVIDIA GeForce RTX 3060` */
export function simulatedName(card: string): string {
  return `a simulated ${card}`
}

/** Before a figure that is a lower bound. */
export function atLeast({ isLowerBound }: CompareRow): string {
  return isLowerBound ? '>= ' : ''
}

/** What must be said of such a table. */
export function simulatedLegend({ simulated, rows, warnings }: CompareResult): string[] {
  if (simulated === null) return []
  const workspace = rows.find(({ workspaceBytes }) => workspaceBytes !== null)?.workspaceBytes
  return [
    "Simulated: LibTorch's own CUDA allocator on a card that is not there; nothing is computed, so there " +
      'are no times and no losses.',
    // Not known where every row is out of memory.
    ...(workspace == null
      ? []
      : [`Every row includes ${(workspace / 2 ** 20).toFixed(1)} MiB of cuBLAS's workspaces.`]),
    ...(rows.some(({ isLowerBound }) => isLowerBound)
      ? [
          '>=: calls cuDNN, whose workspaces are not known: a lower bound. Savings of such a row, or against it, leave them out.',
        ]
      : []),
    ...warnings.map((warning) => `Warning: ${warning}`),
  ]
}
