// Where a step is planned for: a card that is simulated, the CPU, or the device that is here.

import { sizeOf } from '../base/bytes.js'
import { expected, LocalformerError } from '../base/errors.js'
import { getDeviceProperties } from '../device/cuda.js'
import { checkComputes, resolveDevice } from '../device/device.js'
import { checkSimulation } from '../device/simulation.js'
import { type Card, cardNamed } from '../simulated/cards.js'
import type { DryRunTarget } from './dry-run.js'
import type { DryRunner } from './dry-runner.js'

export interface PlanTarget extends DryRunTarget {
  /** As a table names it. */
  readonly name: string
  /** Undefined on the CPU. */
  readonly card: Card | undefined
  /** What tensors may take; undefined: what the device has. */
  readonly limitBytes: number | undefined
}

/** What a device leaves for tensors, and how far a plan for it may be off. */
export interface Room {
  /** Of the device, or the limit. */
  readonly totalBytes: number
  /** Of these, what the process takes beside tensors. */
  readonly contextBytes: number
  /** Kept free for what is not known. */
  readonly reserveBytes: number
  /** Worst relative error of a peak. */
  readonly error: number
}

const MIB = 2 ** 20

// docs/fidelity.md: the worst of the published cases of versions that allocate alike is 0.7 %.
const CARD_ERROR = 0.007
// A context is known to some 100 MiB, and a driver's version moves a card's total by as much.
const CARD_RESERVE = 256 * MIB
// Of the same allocator on the same machine: which backend computes a product may not be known yet.
export const CPU_ERROR = 0.005

/** How a card that has no name here is described. */
const DESCRIBED =
  'Any other card: its size and architecture, such as 12GiB,sm_86, or its size alone, 12GiB.'

/**
 * A card by its name, or by its size with or without an architecture.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for another word, with the nearest name.
 */
export function gpuTarget(text: unknown, limitBytes?: number): PlanTarget {
  if (typeof text !== 'string') {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected('the name or the size of a card', 'gpu', text),
      {
        hint: DESCRIBED,
      },
    )
  }
  const named = text.trim().replace(/^sim:/i, '')
  const card = cardOf(named)
  checkSimulation()
  return { name: card.name, card, device: `sim:${card.key}`, computes: false, limitBytes }
}

/** Of a size alone: what is allocated is nearly the same on every architecture. */
function cardOf(text: string): Card {
  if (/^[\d.]+$/.test(text)) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected('a card or a size such as 12GiB', 'gpu', text),
      {
        hint: DESCRIBED,
      },
    )
  }
  return cardNamed(sizeOf(text) === undefined ? text : `${text},sm_86`, 'gpu')
}

/**
 * What {@link gpuTarget} takes for a CUDA device that is here: its name where it is a known card's, else its
 * size and architecture.
 */
export function gpuOfDevice(device: string): string {
  const properties = getDeviceProperties(Number(device.slice('cuda:'.length)))
  const { name, totalMemoryBytes, major, minor } = properties
  try {
    return cardNamed(name).key
  } catch {
    return `${totalMemoryBytes}B,sm_${major}${minor}`
  }
}

/** The CPU, whose limit is what is left of the machine unless it is said. */
export function cpuTarget(limitBytes?: number): PlanTarget {
  return { name: 'CPU', card: undefined, device: 'cpu', computes: false, limitBytes }
}

/** The device of a training run, on which steps are tried for real where it is a CUDA card. */
export function deviceTarget(device: string, limitBytes?: number): PlanTarget {
  checkComputes(device, 'train')
  const { name } = resolveDevice(device)
  if (name === 'cpu') return cpuTarget(limitBytes)
  return { name, card: undefined, device: name, computes: true, limitBytes }
}

/** Are products in bfloat16 worth asking for there? */
export function hasBfloat16({ card }: PlanTarget, { facts }: DryRunner): boolean {
  return card === undefined ? facts.cpuCapability.startsWith('AVX512') : card.hasBfloat16
}

export function roomOf(target: PlanTarget, { facts }: DryRunner): Room {
  const { card, limitBytes } = target
  const isCpu = target.device === 'cpu'
  const error = card === undefined ? CPU_ERROR : CARD_ERROR
  // Whoever sets a limit knows what it is for; one that the card does not have is none.
  const safe =
    card === undefined
      ? Number.POSITIVE_INFINITY
      : card.totalBytes - card.contextBytes - CARD_RESERVE
  if (limitBytes !== undefined && limitBytes <= safe) {
    return { totalBytes: limitBytes, contextBytes: 0, reserveBytes: 0, error }
  }
  if (card !== undefined) {
    const { totalBytes, contextBytes } = card
    return { totalBytes, contextBytes, reserveBytes: CARD_RESERVE, error }
  }
  // Of a machine what others have taken, too, but for what the system gives back.
  const taken = facts.totalBytes - facts.freeBytes
  const contextBytes = isCpu ? Math.max(facts.processBytes, taken) : taken
  return { totalBytes: facts.totalBytes, contextBytes, reserveBytes: 0, error }
}

/** What tensors may take by all that is known, and by what is safe. */
export function limitsOf({ totalBytes, contextBytes, reserveBytes, error }: Room): {
  readonly possible: number
  readonly safe: number
} {
  const possible = Math.max(totalBytes - contextBytes, 1)
  return { possible, safe: Math.max(Math.floor((possible - reserveBytes) / (1 + error)), 1) }
}
