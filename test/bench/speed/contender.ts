// What one process of a benchmark is asked, and what it answers: ours (own-*.ts) and the peers (peers/*.py).
// in: a Request as JSON in the first argument -> out: an Answer as JSON in the file `request.answer`
import { z } from 'zod'
import type { Dtype } from '../../../lib/local/words.js'

/** What every contender of a case has in common. */
export interface Shape {
  /** Pixels. */
  readonly imageSize: number
  /** Tokens a side. */
  readonly windowSize: number
  readonly batchSize: number
  /** Steps that are not measured, the first one among them. */
  readonly warmup: number
  /** Steps that are. */
  readonly steps: number
}

export interface OwnWork {
  readonly program: 'own-step' | 'own-train'
  /** A run spec. */
  readonly spec: string
  /** Record memory over every step (own-step). */
  readonly timeline?: boolean
  /** Keep the run's files: checkpoints aside, every event goes to three loggers (own-train). */
  readonly log?: boolean
}

export interface PeerWork {
  readonly program: 'step.py' | 'loader.py' | 'floor.py'
  readonly dtype: Dtype
  readonly model: 'timm' | 'torchvision'
  /** Of step.py; of loader.py `eager` and `chosen-products`. */
  readonly variant: 'eager' | 'checkpointing' | 'compile' | 'chosen-products'
  /** Processes of a DataLoader (loader.py). */
  readonly workers: number
  /** A malloc that keeps its pages, by three variables of the environment. */
  readonly keepsPages: boolean
}

export interface Contender {
  /** In its case, and in the table. */
  readonly name: string
  readonly shape: Shape
  readonly work: OwnWork | PeerWork
  /** Name of the one that its time is set against; undefined: the case's. */
  readonly against?: string
}

export const isOwn = (work: Contender['work']): work is OwnWork => work.program.startsWith('own-')

export type Request = Shape & (OwnWork | PeerWork) & FilesOfRequest

export interface FilesOfRequest {
  /** Folder with weights, images and labels, as own-inputs.ts writes them. */
  readonly inputs: string
  /** Folder of CIFAR-10 in its official layout; undefined: generated images. */
  readonly cifar10: string | undefined
  /** The file to write. */
  readonly answer: string
}

const seconds = z.number().nonnegative()
const bytes = z.number().int().positive()

const figures = z.strictObject({
  /** Null where there are no steps (the floor). */
  firstStepSeconds: seconds.nullable(),
  /** Of the measured steps. */
  stepSeconds: z.array(seconds).min(1),
  /** Of every step, the label loss of the last head. */
  losses: z.array(z.number()),
  /** Spent on choosing products, where a contender chooses and says so. */
  tuningSeconds: seconds.nullable(),
  /** By the allocator's count, where there is one. */
  peakAllocatedBytes: bytes.nullable(),
  /** Of the process alone. */
  peakRssBytes: bytes,
  /** Threads of an operation. */
  threads: z.number().int().positive(),
  /** By the name of what has them. */
  versions: z.record(z.string(), z.string()),
})

export type Figures = z.infer<typeof figures>

export const answerSchema = z.union([figures, z.strictObject({ skipped: z.string() })])
