// All loggers of a run: each hears every event in order; one that a run can do without cannot stop it.
import { expected, LocalformerError } from '../base/errors.js'
import { entriesOf } from '../base/validate.js'
import type { RunEvent } from '../train/events.js'
import { CsvLogger } from './csv-logger.js'
import { JsonLinesLogger } from './json-lines-logger.js'
import type { LoggedRun, Logger } from './logger.js'
import { scalarsOf } from './tensorboard.js'
import { TensorBoardLogger } from './tensorboard-logger.js'

/** What each logger gave at a checkpoint, by its name. */
export type LogPlaces = Readonly<Record<string, unknown>>

interface Member {
  readonly logger: Logger
  /** What it still does; undefined: nothing. */
  pending: Promise<unknown> | undefined
  /** Of a logger that a run cannot do without, until it is thrown. */
  error: unknown
  isFailing: boolean
}

export class Loggers {
  readonly #members: readonly Member[]
  readonly #onProblem: (problem: string) => void
  #step: number

  private constructor(
    loggers: readonly Logger[],
    step: number,
    onProblem: (problem: string) => void,
  ) {
    this.#members = loggers.map((logger) => ({
      logger,
      pending: undefined,
      error: undefined,
      isFailing: false,
    }))
    this.#step = step
    this.#onProblem = onProblem
  }

  /**
   * Those of every run folder and `others`, opened.
   *
   * @param from Where a checkpoint says that they were; undefined: they begin.
   * @throws {LocalformerError} `ERR_CHECKPOINT` where a file cannot be written, as everything here;
   *   `ERR_CONFIG` for what is no logger.
   */
  static async open(
    run: LoggedRun,
    others: readonly Logger[],
    onProblem: (problem: string) => void,
    from?: { readonly places: LogPlaces; readonly step: number },
  ): Promise<Loggers> {
    const own = [new JsonLinesLogger(), new CsvLogger(), new TensorBoardLogger()]
    const loggers = new Loggers([...own, ...others], from?.step ?? 0, onProblem)
    try {
      for (const member of loggers.#members) {
        const { logger } = member
        await loggers.#attempt(member, () => logger.open?.(run, from?.places[logger.name]))
      }
      return loggers
    } catch (error) {
      await loggers.close().catch(() => undefined)
      throw error
    }
  }

  /** Tells an event to all; those that work later do so in its order. */
  log(event: RunEvent): void {
    if (event.type === 'step') this.#step = event.step
    const scalars = Object.fromEntries(scalarsOf(event).map(({ tag, value }) => [tag, value]))
    const entry = { event, step: this.#step, scalars }
    for (const member of this.#members) this.#tell(member, () => member.logger.log(entry))
  }

  /** Waits until all that was logged is kept; gives where each stands now. */
  async sync(): Promise<LogPlaces> {
    const places: Record<string, unknown> = {}
    for (const member of this.#members) {
      await this.#settle(member)
      const place = await this.#attempt(member, async () => asJson(await member.logger.sync?.()))
      if (place !== undefined) places[member.logger.name] = place
    }
    return places
  }

  /** Closes all, also where one fails, whose error is thrown then. */
  async close(): Promise<void> {
    const failures: unknown[] = []
    for (const member of this.#members) {
      await this.#settle(member).catch((error) => failures.push(error))
      await this.#attempt(member, () => member.logger.close?.()).catch((error) =>
        failures.push(error),
      )
    }
    if (failures.length > 0) throw failures[0]
  }

  #tell(member: Member, work: () => unknown): void {
    if (member.pending !== undefined) {
      this.#wait(member, member.pending.then(work))
      return
    }
    try {
      const result = work()
      if (isPromise(result)) this.#wait(member, Promise.resolve(result))
    } catch (error) {
      this.#failed(member, error)
    }
  }

  #wait(member: Member, work: Promise<unknown>): void {
    const settled: Promise<unknown> = work
      .catch((error) => {
        if (member.logger.required) member.error ??= error
        else this.#told(member, error)
      })
      .finally(() => {
        if (member.pending === settled) member.pending = undefined
      })
    member.pending = settled
  }

  /** Until it has done what it was told to. */
  async #settle(member: Member): Promise<void> {
    const { pending, logger } = member
    if (pending === undefined || logger.required) await pending
    else if (!(await isSettledSoon(pending))) {
      member.pending = undefined
      this.#told(member, new Error(`it has not answered for ${PATIENCE_SECONDS} s`))
    }
    const { error } = member
    member.error = undefined
    if (error !== undefined) throw error
  }

  async #attempt(member: Member, work: () => unknown): Promise<unknown> {
    try {
      return await work()
    } catch (error) {
      this.#failed(member, error)
      return undefined
    }
  }

  #failed(member: Member, error: unknown): void {
    if (member.logger.required) throw error
    this.#told(member, error)
  }

  #told(member: Member, error: unknown): void {
    if (member.isFailing) return
    member.isFailing = true
    const reason = error instanceof Error ? error.message : String(error)
    this.#onProblem(`The logger ${member.logger.name} failed: ${reason}`)
  }
}

/**
 * @throws {LocalformerError} `ERR_CONFIG` where one of them is no logger, or has the name of another.
 */
export function checkLoggers(loggers: unknown): asserts loggers is readonly Logger[] {
  const all = entriesOf(loggers)
  if (all === undefined) {
    throw new LocalformerError('ERR_CONFIG', expected('a list of loggers', 'loggers', loggers))
  }
  const names = new Set(['json-lines', 'csv', 'tensorboard'])
  all.forEach((value, k) => {
    const logger = value as Partial<Logger> | null | undefined
    if (typeof logger?.name !== 'string' || typeof logger.log !== 'function') {
      const what = 'an object with a `name` and a function `log`'
      throw new LocalformerError('ERR_CONFIG', expected(what, `loggers.${k}`, logger))
    }
    if (names.has(logger.name)) {
      const what = 'a name that no other logger has'
      throw new LocalformerError('ERR_CONFIG', expected(what, `loggers.${k}.name`, logger.name))
    }
    names.add(logger.name)
  })
}

/** A run does not wait longer for one that it can do without. */
const PATIENCE_SECONDS = 10

async function isSettledSoon(work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), PATIENCE_SECONDS * 1000)
  })
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

/** What a checkpoint can keep of it. */
function asJson(place: unknown): unknown {
  const text = JSON.stringify(place)
  return text === undefined ? undefined : JSON.parse(text)
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}
