// A run folder: what was asked for, what happened, and the weights. Files that must be whole are
// written under a temporary name and renamed; events are appended as they happen.
import { randomBytes } from 'node:crypto'
import { createWriteStream, type WriteStream } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { readCheckpoint, writeCheckpoint } from '../checkpoint.js'
import { LocalformerError } from '../errors.js'
import { parseRunSpec, type RunSpec } from '../methods.js'
import { type SwinConfig, SwinTransformer } from '../swin-transformer.js'
import { createTrainer } from '../trainer-of-spec.js'
import type { Trainer } from '../trainers.js'

const WEIGHTS = 'model.safetensors'

/** Writes a file whole or not at all. */
export async function writeFileAtomically(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  try {
    await writeFile(temporary, text)
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

export class RunFolder {
  readonly directory: string
  readonly #events: WriteStream
  #failure: Error | undefined

  private constructor(directory: string) {
    this.directory = directory
    this.#events = createWriteStream(path.join(directory, 'events.jsonl'))
    this.#events.on('error', (error) => {
      this.#failure ??= error
    })
  }

  /**
   * Makes `directory`, or empties its events where it is there already.
   *
   * @throws {LocalformerError} `ERR_CONFIG` where it cannot be written.
   */
  static async create(directory: string, config: unknown): Promise<RunFolder> {
    try {
      await mkdir(directory, { recursive: true })
      await writeFileAtomically(
        path.join(directory, 'config.json'),
        `${JSON.stringify(config, null, 2)}\n`,
      )
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new LocalformerError(
        'ERR_CONFIG',
        `The run folder ${directory} cannot be written: ${reason}`,
        {
          cause,
          hint: 'Name another one with --run-dir.',
        },
      )
    }
    return new RunFolder(directory)
  }

  /** One line of events.jsonl. */
  event(event: object): void {
    this.#events.write(`${JSON.stringify(event)}\n`)
  }

  async writeJson(name: string, value: unknown): Promise<void> {
    await writeFileAtomically(
      path.join(this.directory, name),
      `${JSON.stringify(value, null, 2)}\n`,
    )
  }

  /** The weights of the network and of the auxiliary parts, with what is needed to build both. */
  async writeWeights(trainer: Trainer, spec: string, classes: readonly string[]): Promise<string> {
    const file = path.join(this.directory, WEIGHTS)
    await writeCheckpoint(file, {
      tensors: { ...(await trainer.model.readParameters()), ...(await trainer.readAuxiliary()) },
      metadata: {
        model: JSON.stringify(trainer.model.config),
        run: spec,
        classes: JSON.stringify(classes),
      },
    })
    return file
  }

  /** Waits until every event is on disk. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#events.end(resolve))
    if (this.#failure) throw this.#failure
  }
}

export interface LoadedRun {
  readonly model: SwinTransformer
  readonly trainer: Trainer
  readonly spec: RunSpec
  readonly classes: readonly string[]
}

/**
 * Rebuilds the network and its modules' heads from a run folder or its weights file.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT`
 */
export async function loadRun(place: string, device: string): Promise<LoadedRun> {
  const file = place.endsWith('.safetensors') ? place : path.join(place, WEIGHTS)
  const { tensors, metadata } = await readCheckpoint(file)
  const { config, spec, classes } = readMetadata(file, metadata)
  const model = await SwinTransformer.create({ ...config, device: device as 'cpu' })
  const trainer = await createTrainer(model, spec)
  const isAuxiliary = ([name]: [string, unknown]) => name.startsWith('auxiliary.')
  const entries = Object.entries(tensors)
  const missing = [...model.parameters().map(({ name }) => name)].filter(
    (name) => !(name in tensors),
  )
  if (missing.length > 0) {
    model.dispose()
    throw new LocalformerError(
      'ERR_CHECKPOINT',
      `${file} lacks ${missing.length} tensors: ${missing.slice(0, 5).join(', ')}`,
    )
  }
  await model.writeParameters(Object.fromEntries(entries.filter((entry) => !isAuxiliary(entry))))
  await trainer.writeAuxiliary(Object.fromEntries(entries.filter(isAuxiliary)))
  return { model, trainer, spec, classes }
}

function readMetadata(file: string, metadata: Readonly<Record<string, string>>) {
  try {
    return {
      config: JSON.parse(metadata.model ?? '') as SwinConfig,
      spec: parseRunSpec(metadata.run ?? ''),
      classes: JSON.parse(metadata.classes ?? '[]') as string[],
    }
  } catch (cause) {
    throw new LocalformerError(
      'ERR_CHECKPOINT',
      `${file} was not written by \`localformer train\``,
      {
        cause,
        hint: 'Its metadata lacks the model or the run spec.',
      },
    )
  }
}
