// What comes from files and folders (names of tensors, classes, files, folders) cannot command the
// terminal that it is shown on, nor pass for a line of ours.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { PNG } from 'pngjs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { writeCheckpoint } from '../../lib/weights/checkpoint.js'

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-terminal-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** Clears the screen, sets the title, as C0 and as C1, turns text round, begins a line. */
const HOSTILE = 'x\u001b[2J\u001b]0;t\u0007\u009b31m\u202ey\rz\u007f'
const FORGED = 'a\nlocalformer: all is well'

function localformer(...args: readonly string[]) {
  return spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, LOCALFORMER_CACHE: folder, LOCALFORMER_OFFLINE: '1' },
  })
}

/** Shown is text alone: no control character but the end of a line, nothing that turns text round. */
function assertShown(text: string, what: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is meant
  const found = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.exec(text)
  assert.is(found, null, `${what}: ${JSON.stringify(found?.[0])} in ${JSON.stringify(text)}`)
}

function assertUnforged(text: string, what: string): void {
  assert.not.match(text, /^localformer: all is well/m, `${what}: ${text}`)
}

async function file(name: string, tensors: readonly string[], metadata = {}): Promise<string> {
  const place = path.join(folder, name)
  const tensor = { shape: [1], data: Float32Array.of(1) }
  const entries = tensors.map((tensorName) => [tensorName, tensor])
  await writeCheckpoint(place, { tensors: Object.fromEntries(entries), metadata })
  return place
}

test('names of tensors and files are shown, in results and in errors', async () => {
  const place = await file(`w${HOSTILE}.safetensors`, [HOSTILE, FORGED, `\u009b${FORGED}`])
  for (const args of [
    ['weights', 'info', place],
    ['weights', 'convert', place, path.join(folder, 'out.safetensors')],
    ['evaluate', place],
    ['report', place],
    ['weights', 'info', `${place}${HOSTILE}`],
    [`frobnicate${HOSTILE}`],
    ['summary', `--${HOSTILE}`],
  ]) {
    const { stdout, stderr } = localformer(...args)
    assert.ok(stdout.length + stderr.length > 0)
    assertShown(stdout, `${args}, stdout`)
    assertShown(stderr, `${args}, stderr`)
    assertUnforged(`${stdout}${stderr}`, `${args}`)
  }
  assert.match(localformer('weights', 'info', place).stdout, '\\u001b[2J')
})

test('JSON says exactly what the name is, in characters that a terminal shows', async () => {
  const name = `m${HOSTILE}${FORGED}`
  const place = await file('json.safetensors', [HOSTILE], { note: name })
  const { stdout } = localformer('weights', 'info', place, '--json')
  assertShown(stdout, 'stdout')
  assert.is(JSON.parse(stdout).metadata.note, name)
  const missing = localformer('weights', 'info', `${name}.safetensors`, '--json')
  assertShown(missing.stdout, 'stdout of an error')
  assert.match(JSON.parse(missing.stdout).error.message, name)
})

test('names of classes are shown', () => {
  const root = path.join(folder, `photos${HOSTILE}`)
  for (const split of ['train', 'test']) {
    for (const name of [HOSTILE, FORGED, '=1+1']) {
      mkdirSync(path.join(root, split, name), { recursive: true })
      const png = new PNG({ width: 8, height: 8 })
      png.data.fill(200)
      writeFileSync(path.join(root, split, name, 'a.png'), PNG.sync.write(png))
    }
  }
  const info = ['dataset', 'info', 'image-folder', '--data-dir', root, '--image-size', '8']
  const { status, stdout, stderr } = localformer(...info)
  assert.is(status, 0, stderr)
  assertShown(`${stdout}${stderr}`, 'dataset info')
  assertUnforged(stdout, 'dataset info')
  const { classes } = JSON.parse(localformer(...info, '--json').stdout)
  assert.equal(classes, ['=1+1', FORGED, HOSTILE].sort())
})

test('a configuration is printed as what it is, in characters that a terminal shows', () => {
  const place = `d${HOSTILE}${FORGED}`
  const yaml = localformer('config', 'print', '--data-dir', place)
  assert.is(yaml.status, 0, yaml.stderr)
  assertShown(yaml.stdout, 'config print')
  assertUnforged(yaml.stdout, 'config print')
  const file = path.join(folder, 'config.yaml')
  writeFileSync(file, yaml.stdout)
  const { stdout } = localformer('config', 'print', '--config', file, '--json')
  assert.is(JSON.parse(stdout).dataset.dataDir, place)
})

test.run()
