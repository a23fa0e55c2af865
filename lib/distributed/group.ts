// The group of processes that this one trains in, as torch.distributed has a default one: joined by
// `init`, left by `destroy`.
import { LocalformerError } from '../base/errors.js'
import { differencesBetween, toldDifferences } from '../base/leaves.js'
import { lazy, number, parseOptions, positive, zod } from '../base/validate.js'
import { packageVersion } from '../base/version.js'
import type { NativeGroup, NativeTraffic } from '../native/contract.js'
import { awaitNative, callNative, loadTorch } from '../native/load.js'
import { type GroupPlace, groupPlace } from './place.js'

export interface InitOptions {
  /** For all ranks to come, seconds; default 300. */
  readonly joinSeconds?: number
  /**
   * A rank that gives no sign of life for so many seconds is lost, and all others end; default 15, at
   * least 5. Signs come from a thread of their own, once a second, however long a step takes.
   */
  readonly silenceSeconds?: number
}

const schema = lazy(() =>
  zod().object({
    joinSeconds: positive(86_400).default(300),
    silenceSeconds: number(5, { max: 86_400 }).default(15),
  }),
)

/** What a rank gave and waited for since it joined; bytes of tensors. */
export type Traffic = Readonly<NativeTraffic>

interface Current {
  readonly native: NativeGroup
  readonly place: GroupPlace
}

let current: Current | undefined
/** Groups that this process has joined: each has keys of its own. */
let joined = 0

/**
 * Joins the processes that were started together, from `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and
 * `MASTER_PORT`; returns when all are there. The ranks have to be of one version of this package and of
 * LibTorch.
 *
 * ```ts
 * await distributed.init()
 * await using trainer = await LocalTrainer.create(model, { modules: 4 })
 * await trainer.parallelize({ parallel: 'data' })
 * await train(trainer, data, { batchSize: 256 }) // 256 over all ranks
 * await distributed.destroy()
 * ```
 *
 * @throws {LocalformerError} `ERR_CONFIG` where the variables do not fit or versions differ;
 *   `ERR_DISTRIBUTED` where ranks do not come, a rank or the port is taken; `ERR_BUSY` where this
 *   process is in a group already.
 */
export async function init(options: InitOptions = {}): Promise<void> {
  const { joinSeconds, silenceSeconds } = parseOptions(schema(), options)
  if (current !== undefined) {
    throw new LocalformerError('ERR_BUSY', 'This process is in a process group already', {
      hint: 'Call `await distributed.destroy()` on all ranks first.',
    })
  }
  const place = groupPlace()
  exchanges = 0
  const { rank, worldSize, address, port, hostsStore } = place
  const native = await awaitNative(() =>
    loadTorch().joinGroup({
      ...{ rank, worldSize, address, port, hostsStore, joinSeconds, silenceSeconds },
      prefix: `localformer/${place.attempt}/${joined++}`,
      interface: place.interface,
    }),
  )
  current = { native, place }
  try {
    const { libtorch } = loadTorch().versions()
    await agree('versions', { localformer: packageVersion(), libtorch })
  } catch (error) {
    await abandon(error)
    throw error
  }
}

/** Is this process in a group? */
export function isInitialized(): boolean {
  return current !== undefined
}

/** This process's number in its group, from 0; 0 where it is in none. */
export function rank(): number {
  return current?.place.rank ?? 0
}

/** How many processes the group has; 1 where this one is in none. */
export function worldSize(): number {
  return current?.place.worldSize ?? 1
}

/** This process's number among those of its host, from 0. */
export function localRank(): number {
  return current?.place.localRank ?? 0
}

/** Waits until all ranks have called it. */
export async function barrier(): Promise<void> {
  await exchange('barrier', '')
}

/** What this process gave and waited for since it joined. */
export async function traffic(): Promise<Traffic> {
  const { native } = inGroup()
  return awaitNative(() => native.traffic())
}

/**
 * Leaves the group when all ranks have come to this; does nothing where this process is in none. Trainers
 * that were parallelized cannot step any more.
 *
 * @throws {LocalformerError} `ERR_DISTRIBUTED`
 */
export async function destroy(): Promise<void> {
  if (current === undefined) return
  const { native } = current
  try {
    await awaitNative(() => native.leave())
  } finally {
    current = undefined
    await native.dispose()
  }
}

/** @internal This process has failed: the others are told, and nobody is waited for. */
export async function abandon(error: unknown): Promise<void> {
  if (current === undefined) return
  const { native } = current
  current = undefined
  // What the others said is not said again.
  const isOurs = !(error instanceof LocalformerError && error.code === 'ERR_DISTRIBUTED')
  if (isOurs) callNative(() => native.fail(error instanceof Error ? error.message : String(error)))
  await native.dispose()
}

/** @internal What `work` gives; where it fails, so does the group. */
export async function orAbandon<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    await abandon(error)
    throw error
  }
}

/**
 * @internal The same for what all ranks come to alike: what every one of them refuses (`ERR_CONFIG`) ends no
 * group.
 */
export async function orAbandonAlone<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof LocalformerError && error.code === 'ERR_CONFIG')) await abandon(error)
    throw error
  }
}

/**
 * @internal Texts of all ranks, by rank; every rank asks in the same order.
 *
 * @throws {LocalformerError} `ERR_CONFIG` where another rank is at something else.
 */
export async function exchange(subject: string, text: string): Promise<readonly string[]> {
  const { native, place } = inGroup()
  const all = await awaitNative(() => native.exchange(String(exchanges++), `${subject}\n${text}`))
  return all.map((one, rank) => {
    const end = one.indexOf('\n')
    if (one.slice(0, end) === subject) return one.slice(end + 1)
    throw new LocalformerError(
      'ERR_CONFIG',
      `The ranks do not do the same: rank ${rank} is at "${one.slice(0, end)}", rank ${place.rank} at "${subject}"`,
      { hint: 'Give all ranks the same program, options and run spec.' },
    )
  })
}

let exchanges = 0

/** What a store takes as one value; it has a limit of its own, several times as high. */
const PART_LENGTH = 2 ** 20

/** @internal {@link exchange} of JSON of any length. */
export async function exchangeLong(subject: string, json: string): Promise<readonly string[]> {
  // Parts are cut anywhere, and half a character cannot be sent.
  const plain = json.replace(/[\u0080-\uffff]/g, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  const count = Math.ceil(plain.length / PART_LENGTH)
  const part = (k: number) => plain.slice(k * PART_LENGTH, (k + 1) * PART_LENGTH)
  const firsts = await exchange(subject, `${count} ${part(0)}`)
  const most = Math.max(...firsts.map((one) => Number.parseInt(one, 10)))
  let whole = firsts.map((one) => one.slice(one.indexOf(' ') + 1))
  for (let k = 1; k < most; k++) {
    const parts = await exchange(subject, part(k))
    whole = whole.map((one, rank) => one + parts[rank])
  }
  return whole
}

/** @internal The native group. */
export function inGroup(): Current {
  if (current !== undefined) return current
  throw new LocalformerError('ERR_CONFIG', 'This process is in no process group', {
    hint: 'Call `await distributed.init()` first, in every process.',
  })
}

/**
 * @internal Refuses where ranks were given different things, and says what differs from rank 0.
 *
 * @param facts Plain values by name, of any depth.
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export async function agree(subject: string, facts: object): Promise<void> {
  const texts = await exchangeLong(subject, JSON.stringify(facts))
  const [first = '{}'] = texts
  const other = texts.findIndex((text) => text !== first)
  if (other < 0) return
  const differing = differencesBetween(JSON.parse(texts[other] as string), JSON.parse(first))
  const told = toldDifferences(
    differing,
    (found) => `${found.name} is ${found.one} on rank ${other} and ${found.other} on rank 0`,
  )
  throw new LocalformerError('ERR_CONFIG', `The ranks do not agree: ${told}`, {
    hint: 'Start all ranks with the same command, the same versions and the same data.',
    details: { differing: differing.map(({ name }) => name) },
  })
}
