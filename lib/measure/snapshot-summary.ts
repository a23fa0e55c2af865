// A snapshot of memory -> what was alive when memory was highest, by who asked for it.
import { type Frame, type Frames, readSnapshot, type Snapshot } from './snapshot-file.js'

/**
 * What memory is for, as far as phase and lifetime tell it. `gradients` are those of weights: they live
 * until the update. `losses`: what heads, decoders and losses compute. `temporaries` are what backward
 * pass and update compute on the way, gradients of activations among it.
 */
export type MemoryKind =
  | 'weights'
  | 'optimizer'
  | 'gradients'
  | 'activations'
  | 'losses'
  | 'temporaries'
  | 'batch'
  | 'workspaces'
  | 'unknown'

export interface SnapshotGroup {
  /** `module 2 (paper:4)`; of PyTorch's snapshots file, line and function of the innermost code outside torch. */
  readonly module: string
  /** Empty in PyTorch's snapshots. */
  readonly phase: string
  readonly kind: MemoryKind
  readonly bytes: number
  readonly allocations: number
  readonly largestBytes: number
  /** The operator that asked for most of it; empty where none is known. */
  readonly operator: string
}

export interface DeviceSummary {
  readonly device: number
  /** Events of the trace. */
  readonly events: number
  /** Highest sum of what was asked for; without events what is in use now. */
  readonly peakBytes: number
  /** Index of the event that reached it; null without events. */
  readonly peakEvent: number | null
  /** What was done then: module, phase and operator. */
  readonly peakAt: string
  /** Of the peak, by bytes. */
  readonly groups: readonly SnapshotGroup[]
}

export interface SnapshotSummary {
  readonly schema: 1
  readonly file: string
  /** Who wrote it. */
  readonly by: Snapshot['by']
  /** False: the oldest events are missing; null where the file does not tell. */
  readonly isComplete: boolean | null
  /** Those that have events or memory in use. */
  readonly devices: readonly DeviceSummary[]
}

/**
 * What was alive when memory was highest, from a file of `memory.dumpSnapshot` or of PyTorch's
 * `torch.cuda.memory._dump_snapshot`. Nothing in the file is run.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for what is no snapshot, or a damaged one.
 */
export async function summarizeSnapshot(file: string): Promise<SnapshotSummary> {
  const snapshot = await readSnapshot(file)
  const indices = new Set([
    ...snapshot.traces.keys(),
    ...snapshot.blocks.map(({ device }) => device),
  ])
  const devices = [...indices]
    .sort((a, b) => a - b)
    .map((device) => summarizeDevice(snapshot, device))
    .filter(({ events, peakBytes }) => events > 0 || peakBytes > 0)
  const { by, isComplete } = snapshot
  return { schema: 1, file, by, isComplete, devices }
}

interface Allocation {
  readonly bytes: number
  readonly frames: Frames
  /** Where it was freed; undefined while it lives. */
  freedBy?: Frames
}

function isFree(action: string): boolean {
  // `free`: as older versions of PyTorch call it.
  return action === 'free_completed' || action === 'free'
}

function summarizeDevice(snapshot: Snapshot, device: number): DeviceSummary {
  const events = snapshot.traces[device] ?? []
  const { before, made } = allocationsOf(snapshot, device)
  const { peakBytes, peakEvent } = peakOf(events, before)
  const alive = new Map(before)
  for (let k = 0; k <= (peakEvent ?? -1); k++) {
    const { action, address } = events[k] as (typeof events)[number]
    if (action === 'alloc') alive.set(address, made.get(k) as Allocation)
    else if (isFree(action)) alive.delete(address)
  }
  const frames = peakEvent === null ? [] : (events[peakEvent]?.frames ?? [])
  return {
    device,
    events: events.length,
    peakBytes,
    peakEvent,
    peakAt: placeText(snapshot.by, frames),
    groups: groupsOf([...alive.values()], snapshot.by),
  }
}

/** What was there before the trace begins, by address, and what each `alloc` of it made. */
function allocationsOf({ traces, blocks }: Snapshot, device: number) {
  const before = new Map<number, Allocation>()
  const made = new Map<number, Allocation>()
  const live = new Map<number, Allocation>()
  for (const [k, { action, address, bytes, frames }] of (traces[device] ?? []).entries()) {
    if (action === 'alloc') {
      const allocation = { bytes, frames }
      made.set(k, allocation)
      live.set(address, allocation)
    } else if (isFree(action)) {
      const allocation = live.get(address)
      if (allocation !== undefined) allocation.freedBy = frames
      // It was made before: by whom is not known.
      else if (!before.has(address)) before.set(address, { bytes, frames: [], freedBy: frames })
      live.delete(address)
    }
  }
  for (const block of blocks) {
    if (block.device !== device || live.has(block.address) || before.has(block.address)) continue
    before.set(block.address, { bytes: block.bytes, frames: block.frames })
  }
  return { before, made }
}

function peakOf(events: Snapshot['traces'][number], before: ReadonlyMap<number, Allocation>) {
  const live = new Map([...before].map(([address, { bytes }]) => [address, bytes]))
  let sum = 0
  for (const bytes of live.values()) sum += bytes
  let [peakBytes, peakEvent] = [sum, null as number | null]
  for (const [k, { action, address, bytes }] of events.entries()) {
    if (action === 'alloc') {
      sum += bytes - (live.get(address) ?? 0)
      live.set(address, bytes)
    } else if (isFree(action)) {
      sum -= live.get(address) ?? 0
      live.delete(address)
    }
    if (sum > peakBytes) [peakBytes, peakEvent] = [sum, k]
  }
  return { peakBytes, peakEvent }
}

function groupsOf(allocations: readonly Allocation[], by: Snapshot['by']): SnapshotGroup[] {
  const groups = new Map<string, { place: Place; kind: MemoryKind; members: Allocation[] }>()
  for (const allocation of allocations) {
    const place = placeOf(by, allocation.frames)
    const freedIn = allocation.freedBy === undefined ? '' : placeOf(by, allocation.freedBy).phase
    const kind = by === 'localformer' ? kindOf(place.phase, freedIn) : 'unknown'
    const key = JSON.stringify([place.module, place.phase, kind])
    const group = groups.get(key) ?? { place, kind, members: [] }
    group.members.push(allocation)
    groups.set(key, group)
  }
  return [...groups.values()]
    .map(({ place: { module, phase }, kind, members }) => ({
      ...{ module, phase, kind },
      bytes: members.reduce((sum, { bytes }) => sum + bytes, 0),
      allocations: members.length,
      largestBytes: members.reduce((most, { bytes }) => Math.max(most, bytes), 0),
      operator: mostOf(members, by),
    }))
    .sort((a, b) => b.bytes - a.bytes)
}

function mostOf(members: readonly Allocation[], by: Snapshot['by']): string {
  const sums = new Map<string, number>()
  for (const { bytes, frames } of members) {
    const { operator } = placeOf(by, frames)
    sums.set(operator, (sums.get(operator) ?? 0) + bytes)
  }
  return [...sums].sort(([, a], [, b]) => b - a)[0]?.[0] ?? ''
}

function kindOf(phase: string, freedIn: string): MemoryKind {
  switch (phase) {
    case 'weights':
    case 'workspaces':
    case 'batch':
      return phase
    case 'optimizer':
    case 'average':
      return 'optimizer'
    case 'forward':
    case 'evaluation':
      return 'activations'
    case 'losses':
      return freedIn === 'update' ? 'gradients' : 'losses'
    case 'backward':
      return freedIn === 'update' ? 'gradients' : 'temporaries'
    case 'update':
      return 'temporaries'
    default:
      return 'unknown'
  }
}

interface Place {
  readonly module: string
  readonly phase: string
  readonly operator: string
}

const NOWHERE: Place = { module: 'unknown', phase: '', operator: '' }
const places = new WeakMap<Frames, Place>()

function placeOf(by: Snapshot['by'], frames: Frames): Place {
  const known = places.get(frames)
  if (known !== undefined) return known
  const place = by === 'localformer' ? ownPlace(frames) : pythonPlace(frames)
  places.set(frames, place)
  return place
}

/** Operators that only make room for what another computes. */
const ROOM = /^aten::(new_)?(empty|zeros|resize)/

// Frames are `phase: operator`, or `phase` alone; without a phase the operator.
function ownPlace(frames: Frames): Place {
  const [first] = frames
  if (first === undefined) return NOWHERE
  const isPlaced = first.filename !== 'localformer'
  const operators = frames.map(({ name }) => (isPlaced ? name.replace(/^[^:]*(: |$)/, '') : name))
  const operator = operators.find((name) => !ROOM.test(name)) ?? operators[0] ?? ''
  const phase = isPlaced ? (/^[^:]*/.exec(first.name)?.[0] ?? '') : ''
  return { module: isPlaced ? first.filename : 'unknown', phase, operator }
}

// Frames of C++ have no file of Python's.
const PYTHON = /\.py$|^<.*>$/
const TORCH = /(^|\/)(site|dist)-packages\/(torch|functorch|torchgen)\/|^<frozen /

function pythonPlace(frames: Frames): Place {
  const isOutside = ({ filename }: Frame) => PYTHON.test(filename) && !TORCH.test(filename)
  const own = frames.find(isOutside)
  const operator = frames[0]?.name ?? ''
  if (own === undefined) return { ...NOWHERE, operator }
  return { module: `${own.filename}:${own.line} ${own.name}`, phase: '', operator }
}

function placeText(by: Snapshot['by'], frames: Frames): string {
  const { module, phase, operator } = placeOf(by, frames)
  return [module, phase, operator].filter((word) => word !== '').join(', ')
}
