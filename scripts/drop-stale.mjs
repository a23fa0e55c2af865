// After compiling: removes from dist what came of a source file that is no longer there. It would be
// imported, tested and packed as if it were.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = path.join(root, 'dist')
const COMPILED = /(\.d\.ts|\.js|\.js\.map)$/

for (const name of readdirSync(dist, { recursive: true })) {
  if (!COMPILED.test(name)) continue
  if (!existsSync(path.join(root, name.replace(COMPILED, '.ts')))) rmSync(path.join(dist, name))
}
