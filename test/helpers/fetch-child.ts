// A process that fetches and kills itself with SIGKILL at a given event: `fetch-child.js ROOT SOURCES
// EVENT`, where SOURCES is JSON and EVENT reads like `convert 3`.
import process from 'node:process'
import { type Cifar10Sources, cifar10Recipe } from '../../lib/datasets/cifar10-fetch.js'
import { fetchDataset } from '../../lib/datasets/fetch.js'

const [root = '', sources = '', fatal = ''] = process.argv.slice(2)

await fetchDataset(cifar10Recipe(JSON.parse(sources) as Cifar10Sources), {
  root,
  onEvent(event) {
    const name = event.type === 'progress' ? `${event.phase} ${event.done}` : event.type
    if (name === fatal) process.kill(process.pid, 'SIGKILL')
  },
})
