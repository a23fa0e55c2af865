// A snapshot file as it stands, and what must hold of every one.
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { readPickle } from '../../lib/base/pickle.js'
import type { MemorySegment, MemoryStats } from '../../lib/device/memory.js'

export interface TraceEntry {
  readonly action: string
  readonly addr?: number
  readonly device_free?: number
  readonly size: number
  readonly stream: number
  readonly time_us: number
  readonly frames: readonly { filename: string; name: string; line: number }[]
}

export interface SnapshotDocument {
  readonly segments: readonly {
    readonly device: number
    readonly address: number
    readonly total_size: number
    readonly allocated_size: number
    readonly requested_size: number
    readonly segment_type: 'large' | 'small'
    readonly blocks: readonly {
      readonly address: number
      readonly size: number
      readonly requested_size: number
      readonly state: string
      readonly frames: TraceEntry['frames']
    }[]
  }[]
  readonly device_traces: readonly (readonly TraceEntry[])[]
  readonly allocator_settings: Readonly<Record<string, unknown>>
  readonly localformer: { readonly schema: number; readonly is_complete: boolean }
}

export function documentIn(file: string): SnapshotDocument {
  return readPickle(readFileSync(file)) as unknown as SnapshotDocument
}

/** Bytes and segments before and after each event, and what is live behind the last. */
export function replay(trace: readonly TraceEntry[]) {
  const live = new Map<number, number>()
  let [requested, reserved, peak, allocations] = [0, 0, 0, 0]
  for (const { action, addr = -1, size } of trace) {
    if (action === 'alloc') {
      assert.not.ok(live.has(addr), 'no block is handed out twice')
      live.set(addr, size)
      requested += size
      allocations += 1
    } else if (action === 'free_completed') {
      assert.is(live.get(addr), size, 'what is freed was allocated, of that size')
      live.delete(addr)
      requested -= size
    } else if (action === 'segment_alloc' || action === 'segment_map') reserved += size
    else if (action === 'segment_free' || action === 'segment_unmap') reserved -= size
    peak = Math.max(peak, requested)
    assert.ok(requested >= 0)
  }
  return { live, requested, reserved, peak, allocations }
}

/** A trace from a device on which nothing was alive, against its counters, which began with it. */
export function addsUp(trace: readonly TraceEntry[], before: MemoryStats, after: MemoryStats) {
  const { requested, reserved, peak, allocations, live } = replay(trace)
  const grown = (name: 'requestedBytes' | 'reservedBytes') =>
    after[name].all.current - before[name].all.current
  assert.is(requested, grown('requestedBytes'))
  assert.is(reserved, grown('reservedBytes'))
  assert.is(allocations, after.allocation.all.allocated - before.allocation.all.allocated)
  assert.is(live.size, after.allocation.all.current - before.allocation.all.current)
  assert.is(peak, after.requestedBytes.all.peak - before.requestedBytes.all.current)
  const times = trace.map(({ time_us }) => time_us)
  assert.equal(
    [...times].sort((a, b) => a - b),
    times,
    'in the order of time',
  )
}

/**
 * pytorch.org/memory_viz walks through a trace from its end: memory that was taken has to lie in a segment
 * then, and so has every block.
 */
export function walksBack({ segments, device_traces }: SnapshotDocument, device = 0): void {
  const runs = segments
    .filter((segment) => segment.device === device)
    .map(({ address, total_size }) => ({ begin: address, end: address + total_size }))
  const holding = (begin: number, end: number) =>
    runs.findIndex((run) => run.begin <= begin && end <= run.end)
  for (const { action, addr = 0, size } of [...(device_traces[device] ?? [])].reverse()) {
    const end = addr + size
    if (action === 'alloc' || action === 'free_completed') {
      assert.ok(holding(addr, end) >= 0, `${action} outside of every segment`)
    } else if (action === 'segment_map' || action === 'segment_alloc') {
      const at = holding(addr, end)
      assert.ok(at >= 0, `${action} of no segment`)
      const run = runs[at] as (typeof runs)[number]
      const rest = [
        { begin: run.begin, end: addr },
        { begin: end, end: run.end },
      ]
      runs.splice(at, 1, ...rest.filter((part) => part.begin < part.end))
    } else if (action === 'segment_unmap' || action === 'segment_free') {
      const before = runs.findIndex((run) => run.end === addr)
      const begin = before < 0 ? addr : (runs.splice(before, 1)[0]?.begin ?? addr)
      const behind = runs.findIndex((run) => run.begin === end)
      const last = behind < 0 ? end : (runs.splice(behind, 1)[0]?.end ?? end)
      runs.push({ begin, end: last })
    }
  }
}

/** The file's segments are those that the allocator itself tells. */
export function sameSegments(document: SnapshotDocument, told: readonly MemorySegment[]): void {
  const plain = document.segments.map((segment) => ({
    address: segment.address,
    totalSize: segment.total_size,
    allocatedSize: segment.allocated_size,
    segmentType: segment.segment_type,
    blocks: segment.blocks.map(({ size, requested_size, state }) => ({
      ...{ size, requestedSize: requested_size, state },
    })),
  }))
  assert.equal(plain, told)
}
