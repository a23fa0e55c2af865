// Builds the addon into build/Release with cmake-js: `npm run native [-- --clean]`.
// LibTorch is located (or installed), CMake configured when something changed, and what is up to
// date is left alone. The whole output goes to build/build.log; shown are progress and errors.
import { spawn } from 'node:child_process'
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, totalmem } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { createProgress, type Progress } from '../lib/cli/progress.js'
import { CUDA_LIBRARY, cudaBuildLack, type Lack } from '../lib/libtorch/cuda-library.js'
import type { LibtorchLocation } from '../lib/libtorch/locate.js'
import { extractErrors, parseStep, wasKilled } from './lib/build-output.js'
import { ensureLibtorch } from './lib/libtorch.js'
import { isEntryPoint, ROOT, runScript, ScriptError } from './lib/script.js'
import { checkToolchain, type Generator } from './lib/toolchain.js'

export interface BuildNativeOptions {
  /** Delete what was built before. Default: false. */
  readonly clean?: boolean | undefined
  /** How many files are compiled at once. Default: one a core, as far as the memory allows. */
  readonly jobs?: number | undefined
  /** Say nothing but errors. Default: false. */
  readonly quiet?: boolean | undefined
  /** The build folder. Default: `build` in the repository. */
  readonly directory?: string | undefined
}

export interface BuildNativeResult {
  /** The folder that holds `localformer.node`. */
  readonly output: string
  readonly libtorch: LibtorchLocation
  /** True when nothing had to be built. */
  readonly upToDate: boolean
  /** Why liblocalformer_cuda.so was left out; undefined where it was built. */
  readonly withoutCuda: Lack | undefined
}

/** One file that includes LibTorch takes about this much while it is compiled. */
const BYTES_PER_JOB = 1.5 * 1024 ** 3

/**
 * Builds what is not up to date.
 *
 * @throws {ScriptError} when a tool is missing or the build fails, with the compiler's errors.
 * @throws {LocalformerError} when LibTorch can neither be found nor installed.
 */
export async function buildNative(options: BuildNativeOptions = {}): Promise<BuildNativeResult> {
  const generator = checkToolchain()
  const directory = path.resolve(options.directory ?? path.join(ROOT, 'build'))
  const progress = createProgress({ quiet: options.quiet ?? false })
  const libtorch = await ensureLibtorch({ progress, say: printNote })
  const withoutCuda = cudaBuildLack(libtorch)
  const wanted = { generator, libtorch: libtorch.root, cuda: withoutCuda === undefined }
  const state = options.clean ? 'foreign' : cacheState(directory, wanted)
  if (state === 'foreign') rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  const build = new Build(directory, wanted, options.jobs ?? defaultJobs(), progress)
  try {
    if (state !== 'current') await build.run('configure')
    const steps = await build.run('build')
    const output = path.join(directory, 'Release')
    // One of an earlier build would be of other sources.
    if (withoutCuda !== undefined) rmSync(path.join(output, CUDA_LIBRARY), { force: true })
    return { output, libtorch, upToDate: steps === 0, withoutCuda }
  } finally {
    progress.finish()
    build.close()
  }
}

interface Configuration {
  readonly generator: Generator
  /** LibTorch's root. */
  readonly libtorch: string
  /** With liblocalformer_cuda.so? What CMake finds out by itself, when it configures. */
  readonly cuda: boolean
}

/** Runs cmake-js and reads what it prints. */
class Build {
  readonly #directory: string
  readonly #wanted: Configuration
  readonly #jobs: number
  readonly #progress: Progress
  readonly #logFile: string
  readonly #log

  constructor(directory: string, wanted: Configuration, jobs: number, progress: Progress) {
    this.#directory = directory
    this.#wanted = wanted
    this.#jobs = jobs
    this.#progress = progress
    this.#logFile = path.join(directory, 'build.log')
    this.#log = createWriteStream(this.#logFile)
  }

  /** Resolves to the number of steps that were taken. */
  async run(command: 'configure' | 'build'): Promise<number> {
    const files = command === 'build' ? sources(this.#directory).length : 0
    const output: string[] = []
    let steps = 0
    const status = await this.#spawn(command, (line) => {
      output.push(line)
      const step = parseStep(line, files)
      // Make tells its per cents even when nothing is to be done: only what is compiled counts.
      if (!step || !/\] (Building|Linking) /.test(line)) return
      steps += 1
      this.#progress.update({ label: 'Compiling the addon', unit: 'files', ...step })
    })
    if (status === 0) return steps
    this.#progress.finish()
    throw this.#failure(command, output.join('\n'))
  }

  close(): void {
    this.#log.end()
  }

  #failure(command: string, output: string): ScriptError {
    const what = command === 'configure' ? 'CMake could not configure' : 'Could not build'
    const hints = [`The whole output: ${this.#logFile}`]
    if (wasKilled(output)) {
      hints.unshift('The compiler was killed, probably for want of memory: try `--jobs 1`.')
    }
    const message = `${what} the native part:\n${extractErrors(output)}`
    return new ScriptError(message, { hint: hints.join('\n') })
  }

  async #spawn(command: string, onLine: (line: string) => void): Promise<number | null> {
    const child = spawn(
      process.execPath,
      [
        cmakeJs(),
        command,
        `--directory=${ROOT}`,
        `--out=${this.#directory}`,
        `--generator=${this.#wanted.generator}`,
        `--parallel=${this.#jobs}`,
        `--CDLOCALFORMER_LIBTORCH=${this.#wanted.libtorch}`,
      ],
      { cwd: ROOT, env: buildEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] },
    )
    const listen = async (stream: NodeJS.ReadableStream) => {
      for await (const line of createInterface({ input: stream })) {
        this.#log.write(`${line}\n`)
        onLine(line)
      }
    }
    const ended = new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', resolve)
    })
    const [status] = await Promise.all([ended, listen(child.stdout), listen(child.stderr)])
    return status
  }
}

/** Our own Node.js comes first, and no setting may change the lines that are read. */
function buildEnvironment(): NodeJS.ProcessEnv {
  const { NINJA_STATUS: _, CLICOLOR_FORCE: __, ...env } = process.env
  const PATH = [path.dirname(process.execPath), process.env.PATH].join(path.delimiter)
  return { ...env, PATH, LC_ALL: 'C' }
}

function cmakeJs(): string {
  const require = createRequire(import.meta.url)
  return path.join(path.dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js')
}

/**
 * What a build folder was configured for: `current` is what is wanted, `stale` can be configured
 * again, `foreign` (another generator or another source folder) has to be deleted first.
 */
function cacheState(directory: string, wanted: Configuration): 'current' | 'stale' | 'foreign' {
  const file = path.join(directory, 'CMakeCache.txt')
  if (!existsSync(file)) return 'stale'
  const cache = readFileSync(file, 'utf8')
  const entry = (name: string) => new RegExp(`^${name}:[A-Z]+=(.*)$`, 'm').exec(cache)?.[1]
  if (entry('CMAKE_GENERATOR') !== wanted.generator) return 'foreign'
  if (entry('CMAKE_HOME_DIRECTORY') !== ROOT) return 'foreign'
  const buildFile = wanted.generator === 'Ninja' ? 'build.ninja' : 'Makefile'
  const isWhole = existsSync(path.join(directory, buildFile))
  const isOurs = entry('CMAKE_JS_VERSION') !== undefined
  const isSame = entry('LOCALFORMER_LIBTORCH') === wanted.libtorch
  const isSameCuda = sources(directory).some((file) => CUDA_SOURCE.test(file)) === wanted.cuda
  return isWhole && isOurs && isSame && isSameCuda ? 'current' : 'stale'
}

const CUDA_SOURCE = /\/native\/cuda\/[^/]+\.cc$/

/** The files that the project compiles; none before it is configured. */
function sources(directory: string): readonly string[] {
  const commands = path.join(directory, 'compile_commands.json')
  if (!existsSync(commands)) return []
  const entries = JSON.parse(readFileSync(commands, 'utf8')) as readonly { file: string }[]
  return entries.map(({ file }) => file)
}

/** What a build left out, with what mends it; '' where it left out nothing. */
export function describeOmission({ withoutCuda }: BuildNativeResult): string {
  if (withoutCuda === undefined) return ''
  const { reason, fix } = withoutCuda
  return `Without ${CUDA_LIBRARY} (CUDA devices, real and simulated): ${reason}\n  ${fix}\n`
}

function printNote(note: string): void {
  process.stderr.write(`${note}\n`)
}

function defaultJobs(): number {
  const limit = process.constrainedMemory()
  const memory = limit ? Math.min(limit, totalmem()) : totalmem()
  return Math.max(1, Math.min(availableParallelism(), Math.floor(memory / BYTES_PER_JOB)))
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      clean: { type: 'boolean', default: false },
      jobs: { type: 'string' },
      out: { type: 'string' },
    },
  })
  const jobs = values.jobs === undefined ? undefined : Number(values.jobs)
  if (jobs !== undefined && !(Number.isInteger(jobs) && jobs > 0)) {
    throw new ScriptError(
      `Expected a positive whole number for \`--jobs\` but received ${values.jobs}`,
    )
  }
  const startedAt = performance.now()
  const result = await buildNative({ clean: values.clean, jobs, directory: values.out })
  const { upToDate, output } = result
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  const where = path.relative(process.cwd(), output) || '.'
  process.stderr.write(upToDate ? `${where} is up to date\n` : `Built ${where} in ${seconds} s\n`)
  process.stderr.write(describeOmission(result))
  return 0
}

if (isEntryPoint(import.meta.url)) await runScript('build-native', main)
