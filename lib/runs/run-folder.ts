// A run folder: what was asked for, what happened, and the weights. Files that must be whole are
// written under a temporary name and renamed; events are appended as they happen.
import { randomBytes } from 'node:crypto'
import { createWriteStream, type WriteStream } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { readCheckpoint, writeCheckpoint } from '../checkpoint.js'
import type { Dataset } from '../datasets/dataset.js'
import type { DeviceName } from '../device.js'
import { LocalformerError } from '../errors.js'
import { parseRunSpec, pinSplit, type RunSpec } from '../methods.js'
import { type SwinConfig, SwinTransformer } from '../swin-transformer.js'
import { createTrainer } from '../trainer-of-spec.js'
import type { Trainer } from '../trainers.js'

const WEIGHTS = 'model.safetensors'
const SUMMARY = 'summary.json'

/** Writes a file whole or not at all. */
export async function writeFileAtomically(
  file: string,
  content: string | Uint8Array,
): Promise<void> {
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  try {
    await writeFile(temporary, content)
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
   * Makes `directory`. Where it is there already, what an earlier run left in it is removed, so that
   * nothing of two runs stands side by side.
   *
   * @throws {LocalformerError} `ERR_CONFIG` where it cannot be written.
   */
  static async create(directory: string, config: unknown): Promise<RunFolder> {
    try {
      await mkdir(directory, { recursive: true })
      for (const name of [WEIGHTS, SUMMARY]) await rm(path.join(directory, name), { force: true })
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

  /** What the run came to: summary.json. */
  async writeSummary(value: unknown): Promise<void> {
    await writeFileAtomically(
      path.join(this.directory, SUMMARY),
      `${JSON.stringify(value, null, 2)}\n`,
    )
  }

  /** The weights of the network and of the auxiliary parts, with what is needed to build both. */
  async writeWeights(trainer: Trainer, spec: RunSpec, data: Dataset): Promise<string> {
    const file = path.join(this.directory, WEIGHTS)
    await writeCheckpoint(file, {
      tensors: { ...(await trainer.model.readParameters()), ...(await trainer.readAuxiliary()) },
      metadata: {
        model: JSON.stringify(trainer.model.config),
        run: pinSplit(spec, trainer.cuts),
        dataset: data.name,
        classes: JSON.stringify(data.classes),
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
  /** Name of the data set that it was trained on. */
  readonly dataset: string
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
  const { config, spec, dataset, classes } = readMetadata(file, metadata)
  const model = await SwinTransformer.create({ ...config, device: device as DeviceName })
  try {
    const trainer = await createTrainer(model, spec)
    const wanted = [...model.parameters(), ...trainer.auxiliaryParameters()].map(({ name }) => name)
    const missing = wanted.filter((name) => !(name in tensors))
    if (missing.length > 0) {
      const some = missing.slice(0, 5).join(', ')
      throw new LocalformerError(
        'ERR_CHECKPOINT',
        `${file} lacks ${missing.length} tensors: ${some}${missing.length > 5 ? ', ...' : ''}`,
      )
    }
    const entries = Object.entries(tensors)
    const isAuxiliary = ([name]: [string, unknown]) => name.startsWith('auxiliary.')
    await model.writeParameters(Object.fromEntries(entries.filter((entry) => !isAuxiliary(entry))))
    await trainer.writeAuxiliary(Object.fromEntries(entries.filter(isAuxiliary)))
    return { model, trainer, spec, dataset, classes }
  } catch (error) {
    model.dispose()
    throw error
  }
}

function readMetadata(file: string, metadata: Readonly<Record<string, string>>) {
  try {
    return {
      config: JSON.parse(metadata.model ?? '') as SwinConfig,
      spec: parseRunSpec(metadata.run ?? ''),
      dataset: metadata.dataset ?? '',
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
