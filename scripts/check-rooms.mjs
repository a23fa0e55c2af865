// Holds the rooms of lib/ in order: `node scripts/check-rooms.mjs`. An import goes to a room that
// stands before the importing one in ROOMS; only index.ts lies loose. Cycles of files are Biome's
// (noImportCycles). A script of our own, since the tools that know directions (dependency-cruiser,
// madge) see type imports only through TypeScript's JavaScript API, which TypeScript 7 does not have.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** From the lowest; docs/architecture.md says what each is for. */
const ROOMS = [
  ...['base', 'metrics', 'libtorch', 'simulated', 'native', 'device', 'datasets', 'batch'],
  ...[
    'distributed',
    'local',
    'weights',
    'evaluate',
    'train',
    'config',
    'loggers',
    'run-folder',
    'plan',
    'report',
    'runs',
  ],
  ...['measure', 'doctor', 'cli'],
]

const lib = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', 'lib')
const problems = []
const used = new Set()
let imports = 0

function roomOf(file) {
  const [room, ...rest] = path.relative(lib, file).split(path.sep)
  return rest.length === 0 ? undefined : room
}

for (const entry of readdirSync(lib, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
  const file = path.join(entry.parentPath ?? entry.path, entry.name)
  const name = path.relative(lib, file)
  const room = roomOf(file)
  if (room === undefined) {
    if (name !== 'index.ts') problems.push(`lib/${name} lies loose; put it into a room`)
    continue
  }
  used.add(room)
  if (!ROOMS.includes(room)) problems.push(`lib/${room} is no room: add it to ROOMS`)
  const source = readFileSync(file, 'utf8')
  for (const [, from, late] of source.matchAll(/\bfrom '(\.[^']+)'|\bimport\('(\.[^']+)'\)/g)) {
    const target = roomOf(path.resolve(path.dirname(file), from ?? late))
    imports++
    if (target === room) continue
    if (target === undefined || ROOMS.indexOf(target) > ROOMS.indexOf(room)) {
      problems.push(`lib/${name} imports upwards: ${from ?? late}`)
    }
  }
}
for (const room of ROOMS) if (!used.has(room)) problems.push(`lib/${room} is empty`)

for (const problem of problems) console.error(problem)
if (problems.length === 0) {
  console.log(`${ROOMS.length} rooms, ${imports} imports, none upwards, no loose file but index.ts`)
}
process.exitCode = problems.length === 0 ? 0 : 1
