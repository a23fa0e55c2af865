// The work of every item by its name, as its process looks it up.
import { balanced } from './balanced.js'
import { context } from './context.js'
import { cublasMemory } from './cublas-memory.js'
import { device } from './device.js'
import { exits } from './exits.js'
import { gradients } from './gradients.js'
import type { Work } from './item.js'
import { libraries } from './libraries.js'
import { memoryTable } from './memory-table.js'
import { outOfMemory } from './out-of-memory.js'
import { repeats } from './repeats.js'
import { times } from './times.js'

export const WORKS: Readonly<Record<string, Work>> = {
  ...{ device, libraries, context, gradients, repeats, balanced },
  ...{ 'memory-table': memoryTable, times, exits },
  ...{ 'out-of-memory': outOfMemory, 'cublas-memory': cublasMemory },
}
