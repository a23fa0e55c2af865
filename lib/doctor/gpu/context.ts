// cuBLAS's workspaces, and what a process takes of the card beside its tensors. A context cannot see
// the card without itself, so that one process looks while another one makes its own.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { formatBytes } from '../../base/format.js'
import { memGetInfo } from '../../device/cuda.js'
import { type Finding, type ItemRequest, judged } from './item.js'
import { openDevice } from './subject.js'

export const STAGES = ['context', 'network', 'step'] as const

/** What the other process says at a stage; it goes on when it is answered. */
export interface ContextMessage {
  readonly stage: (typeof STAGES)[number]
  /** Taken of the card, as that process sees it: of a simulated card nobody else does. */
  readonly usedBytes: number
  readonly reservedBytes: number
  readonly workspaceBytes: number
}

interface Stage {
  readonly stage: ContextMessage['stage']
  /** Context, modules of kernels and what libraries allocate themselves. */
  readonly besideBytes: number
  readonly reservedBytes: number
}

export async function context(request: ItemRequest): Promise<Finding> {
  const { index, isSimulated } = openDevice(request.device)
  const before = memGetInfo(index)
  const stages: Stage[] = []
  let workspaceBytes = 0
  await atEachStage(request, (message) => {
    const { stage, reservedBytes } = message
    const taken = isSimulated ? message.usedBytes : before.freeBytes - memGetInfo(index).freeBytes
    stages.push({ stage, besideBytes: taken - reservedBytes, reservedBytes })
    workspaceBytes = message.workspaceBytes
  })
  const [first, , last] = stages
  const complaints = [
    ...(workspaceBytes > 0 ? [] : ['no workspace of cuBLAS is counted']),
    ...(stages.length === STAGES.length
      ? []
      : [`the other process ended after ${stages.length} stages`]),
    // Memory that another program gave back meanwhile would show here too.
    ...stages.flatMap(({ stage, besideBytes }) =>
      besideBytes > 0 ? [] : [`${formatBytes(besideBytes)} beside the tensors (${stage})`],
    ),
  ]
  const summary =
    `cuBLAS's workspaces ${formatBytes(workspaceBytes)}; beside the tensors ` +
    `${formatBytes(first?.besideBytes ?? 0)} for a context, ${formatBytes(last?.besideBytes ?? 0)} after a step`
  return judged(complaints, summary, { workspaceBytes, stages, totalBytes: before.totalBytes })
}

async function atEachStage(request: ItemRequest, look: (message: ContextMessage) => void) {
  const child = fork(fileURLToPath(new URL('./context-child.js', import.meta.url)), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  await new Promise<void>((resolve, reject) => {
    child.on('message', (message: ContextMessage) => {
      try {
        look(message)
        child.send('go on')
      } catch (error) {
        child.kill('SIGKILL')
        reject(error)
      }
    })
    child.on('error', reject)
    child.on('close', () => resolve())
    child.send(request)
  })
}
