// The other process: started, asked one thing at a time, ended with this one.
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { errorFrom } from '../base/error-message.js'
import { LocalformerError } from '../base/errors.js'
import { settingsOfProcess } from '../native/load.js'
import type {
  DryRunCall,
  DryRunMessage,
  DryRunRequest,
  DryRunResult,
  DryRunTarget,
  ModuleTimes,
} from './dry-run.js'

type Ready = Extract<DryRunMessage, { type: 'ready' }>

export class DryRunner implements AsyncDisposable {
  readonly target: DryRunTarget
  readonly facts: Ready
  readonly #child: ChildProcess
  /** Settles when what was asked before is answered. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(target: DryRunTarget, child: ChildProcess, facts: Ready) {
    this.target = target
    this.#child = child
    this.facts = facts
  }

  /**
   * @throws {LocalformerError} what loading LibTorch throws: `ERR_LIBTORCH_NOT_FOUND` where what
   *   simulates a card is not installed.
   */
  static async start(target: DryRunTarget, signal?: AbortSignal): Promise<DryRunner> {
    signal?.throwIfAborted()
    const child = fork(fileURLToPath(new URL('./dry-run-child.js', import.meta.url)), {
      serialization: 'advanced',
      // What it might print is no part of a document.
      stdio: ['ignore', 2, 2, 'ipc'],
    })
    // It may end while it is told something.
    child.on('error', () => undefined)
    try {
      const asking = settingsOfProcess()
      const facts = (await ask(child, { type: 'start', target, asking }, signal)) as Ready
      return new DryRunner(target, child, facts)
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    }
  }

  /**
   * Tries a configuration for two steps. Calls wait for each other.
   *
   * @throws {LocalformerError} what making network and trainer throws, but for `ERR_OUT_OF_MEMORY`.
   */
  async run(request: DryRunRequest, signal?: AbortSignal): Promise<DryRunResult> {
    const answer = await this.#inTurn({ type: 'run', request }, signal)
    return (answer as Extract<DryRunMessage, { type: 'result' }>).result
  }

  /** How long each module takes, where the process computes. */
  async time(
    request: DryRunRequest & { readonly threads?: number },
    signal?: AbortSignal,
  ): Promise<ModuleTimes> {
    const answer = await this.#inTurn({ type: 'time', request }, signal)
    return (answer as Extract<DryRunMessage, { type: 'times' }>).times
  }

  #inTurn(call: DryRunCall, signal: AbortSignal | undefined): Promise<DryRunMessage> {
    const own = this.#last.then(() => {
      signal?.throwIfAborted()
      return ask(this.#child, call, signal)
    })
    this.#last = own.catch(() => undefined)
    return own
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) return
    // Until it is gone its memory is not free.
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }
}

/**
 * What `use` makes of some processes for the same target, which end with it.
 *
 * @throws {LocalformerError} what starting one throws.
 */
export async function withRunners<T>(
  target: DryRunTarget,
  count: number,
  signal: AbortSignal | undefined,
  use: (runners: readonly [DryRunner, ...DryRunner[]]) => Promise<T>,
): Promise<T> {
  const started = await Promise.allSettled(
    Array.from({ length: count }, () => DryRunner.start(target, signal)),
  )
  const runners = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  try {
    for (const one of started) if (one.status === 'rejected') throw one.reason
    return await use(runners as [DryRunner, ...DryRunner[]])
  } finally {
    await Promise.all(runners.map((runner) => runner[Symbol.asyncDispose]()))
  }
}

function ask(
  child: ChildProcess,
  call: DryRunCall,
  signal: AbortSignal | undefined,
): Promise<DryRunMessage> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      child.off('message', onMessage)
      child.off('exit', onExit)
      child.off('error', onError)
      signal?.removeEventListener('abort', onAbort)
      act()
    }
    const onMessage = (message: DryRunMessage) => {
      settle(() => {
        if (message.type === 'error') reject(errorFrom(message))
        else resolve(message)
      })
    }
    const onExit = (code: number | null, killedBy: string | null) => {
      settle(() => reject(ended(code, killedBy)))
    }
    const onError = (error: Error) => settle(() => reject(error))
    const onAbort = () => {
      child.kill('SIGKILL')
      settle(() => reject(signal?.reason))
    }
    child.on('message', onMessage)
    child.on('exit', onExit)
    child.on('error', onError)
    signal?.addEventListener('abort', onAbort)
    if (child.exitCode !== null || child.signalCode !== null) {
      onExit(child.exitCode, child.signalCode)
      return
    }
    child.send(call)
  })
}

function ended(code: number | null, killedBy: string | null): LocalformerError {
  const how = killedBy === null ? `exit code ${code}` : `signal ${killedBy}`
  return new LocalformerError('ERR_TORCH', `The process that tried a step ended with ${how}`, {
    hint:
      killedBy === 'SIGKILL'
        ? 'The machine may have too little memory to try a step of that size: try a smaller batch.'
        : 'Run `npx localformer doctor`.',
  })
}
