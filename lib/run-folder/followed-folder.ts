// What a rank other than 0 has of the folder of a run: it reads where the run goes on, and writes nothing.
import path from 'node:path'
import { CHECKPOINTS_FOLDER } from '../base/run-files.js'
import { CheckpointStore, type LoadedState } from './checkpoint-store.js'
import type { Continuation, RunFolder } from './run-folder.js'

/** What a run does with its folder. */
export type RunRecord = Pick<
  RunFolder,
  'directory' | 'state' | 'weights' | 'log' | 'saveCheckpoint' | 'writeSummary' | 'close'
>

export class FollowedFolder implements RunRecord {
  /** Empty where rank 0 chose its name. */
  readonly directory: string
  readonly state: LoadedState | undefined
  /** Rank 0 has the file. */
  readonly weights = ''

  constructor(directory: string, state?: LoadedState) {
    this.directory = directory
    this.state = state
  }

  /**
   * Goes on where rank 0 does: every rank sees the same folder.
   *
   * @throws {LocalformerError} as `RunFolder.resume`, but for its lock.
   */
  static async resume(
    directory: string,
    decide: (state: LoadedState | undefined) => Promise<Continuation>,
  ): Promise<FollowedFolder> {
    const state = await new CheckpointStore(path.join(directory, CHECKPOINTS_FOLDER)).load()
    await decide(state)
    return new FollowedFolder(directory, state)
  }

  log(): void {}

  async saveCheckpoint(): Promise<boolean> {
    return true
  }

  async writeSummary(): Promise<void> {}

  async close(): Promise<void> {}
}
