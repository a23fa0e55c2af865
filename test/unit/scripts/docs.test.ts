// What the texts name is there: files and folders, links, the sections that comments cite; and every
// room has its line in README's tree and in docs/architecture.md.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../../scripts/lib/script.js'

const TEXTS = filesOf('.', /\.md$/).filter((file) => file !== 'CHANGELOG.md')

const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8')

/** Files below a folder of the repository, by their paths from its root. */
function filesOf(folder: string, name: RegExp): string[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.posix.join(folder, entry.name)
    if (entry.isFile()) return name.test(entry.name) ? [file] : []
    const isOurs = !/^(\.git|node_modules|dist|build|prebuilds|runs)$/.test(file)
    return entry.isDirectory() && isOurs ? filesOf(file, name) : []
  })
}

const foldersIn = (folder: string) =>
  readdirSync(path.join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)

/** `a/{b,c}.d` -> `a/b.d`, `a/c.d`. */
function withoutBraces(name: string): string[] {
  const [whole, choices] = /\{([^{}]*)\}/.exec(name) ?? []
  if (whole === undefined || choices === undefined) return [name]
  return choices.split(',').flatMap((choice) => withoutBraces(name.replace(whole, choice)))
}

/** Is there a file or folder of this name, in which `*` stands for any part of a name? */
function isThere(name: string): boolean {
  const [folder, last] = [path.dirname(name), path.basename(name)]
  if (!last.includes('*')) return existsSync(path.join(ROOT, name))
  const parts = last.split('*').map((part) => part.replace(/[.+]/g, '\\$&'))
  const pattern = new RegExp(`^${parts.join('.*')}$`)
  return isThere(folder) && readdirSync(path.join(ROOT, folder)).some((file) => pattern.test(file))
}

test('there are texts to look at', () => {
  for (const file of ['README.md', 'CONTRIBUTING.md', 'docs/method.md', 'docs/architecture.md']) {
    assert.ok(TEXTS.includes(file), file)
  }
})

for (const file of TEXTS) {
  test(`${file}: every file and folder that it names is there`, () => {
    const named = read(file).matchAll(
      /(?<![\w./-])(?:lib|native|scripts|test|docs|examples)\/[\w./*{},-]+/g,
    )
    const missing = [...named]
      .flatMap(([name]) => withoutBraces(name.replace(/[.,]+$/, '')))
      .filter((name) => !isThere(name))
    assert.equal(missing, [])
  })

  test(`${file}: every link to a file leads somewhere`, () => {
    const links = [...read(file).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, to]) => to ?? '')
    const broken = links.filter((to) => {
      const [target = '', anchor] = to.split('#')
      const place = target === '' ? file : path.posix.join(path.dirname(file), target)
      return !isThere(place) || (anchor !== undefined && !anchorsOf(place).includes(anchor))
    })
    assert.equal(broken, [])
  })
}

/** Of a text's headings, as hosts of git repositories make them. */
function anchorsOf(file: string): string[] {
  return [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replace(/\s/g, '-'),
  )
}

test('what the package ships links only to what it ships', () => {
  const { files } = JSON.parse(read('package.json')) as { files: string[] }
  const shipped = TEXTS.filter((file) => files.some((one) => `${file}/`.startsWith(`${one}/`)))
  assert.ok(shipped.includes('README.md') && shipped.includes('docs/method.md'))
  const outside = shipped.flatMap((file) =>
    [...read(file).matchAll(/\]\((?!https?:|#)([^)\s#]+)[^)]*\)/g)]
      .map(([, to = '']) => path.posix.join(path.dirname(file), to))
      .filter((to) => !files.some((one) => `${to}/`.startsWith(`${one}/`))),
  )
  assert.equal(outside, [])
})

test('the sections and rules that comments cite are there', () => {
  const sources = ['lib', 'native', 'scripts', 'test', 'examples'].flatMap((folder) =>
    filesOf(folder, /\.(ts|mjs|cc|h|py|txt|md)$/),
  )
  let cited = 0
  for (const file of [...sources, 'CMakeLists.txt', ...TEXTS]) {
    // A citation may go on in the next line of a comment.
    const text = read(file).replace(/\n\s*(?:\/\/|\*|#)?\s*/g, ' ')
    const citations = text.matchAll(
      /docs\/(\w+\.md)`?, sections? (\d+)(?: to (\d+))?(?:, rule (\d+))?/g,
    )
    for (const [whole, name = '', first = '', last = first, rule] of citations) {
      cited++
      for (const section of [first, last]) {
        assert.match(
          read(`docs/${name}`),
          new RegExp(`^## ${section}\\. `, 'm'),
          `${file}: ${whole}`,
        )
      }
      const [, body = ''] = read(`docs/${name}`).split(new RegExp(`^## ${first}\\. `, 'm'))
      const own = body.split(/^## /m)[0] ?? ''
      if (rule !== undefined)
        assert.match(own, new RegExp(`^${rule}\\. `, 'm'), `${file}: ${whole}`)
    }
  }
  assert.ok(cited > 5, `${cited} citations`)
})

/** README's tree: each line's path and what it says. */
function tree(): { readonly place: string; readonly says: string }[] {
  const [, block = ''] = /^## The tree\n[\s\S]*?```\n([\s\S]*?)```/m.exec(read('README.md')) ?? []
  let top = ''
  return block
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, indent = '', name = '', says = ''] = /^( *)(\S+)\s*(.*)$/.exec(line) ?? []
      if (indent === '') top = name
      const isOwn = indent.length === 2
      return {
        place: indent === '' ? name : isOwn ? path.posix.join(top, name) : '',
        says: isOwn || indent === '' ? says : line.trim(),
      }
    })
}

test("README's tree: every room and folder has its line, and every line is there", () => {
  const places = tree().flatMap(({ place }) => (place === '' ? [] : [place.replace(/\/$/, '')]))
  const wanted = [
    'lib/index.ts',
    ...foldersIn('lib').map((room) => `lib/${room}`),
    ...foldersIn('native').flatMap((folder) => (folder === 'core' ? [] : [`native/${folder}`])),
    ...foldersIn('native/core').map((folder) => `native/core/${folder}`),
    ...['scripts', 'test', 'docs', 'examples'],
  ]
  assert.equal(
    wanted.filter((place) => !places.includes(place)),
    [],
  )
  assert.equal(
    places.filter((place) => !isThere(place)),
    [],
  )
})

test("README's tree: every file that a line names is there", () => {
  let folder = ''
  const missing = tree().flatMap(({ place, says }) => {
    if (place !== '') folder = place
    return [...says.matchAll(/[\w-]+\.(?:ts|mjs|cc|h|md)\b/g)]
      .map(([name]) => path.posix.join(folder, name))
      .filter((name) => !isThere(name))
  })
  assert.equal(missing, [])
})

test('docs/architecture.md has a line for every room, in the order in which they import', () => {
  const [, section = ''] = read('docs/architecture.md').split(/^## 2\. /m)
  const rows = [...(section.split(/^## /m)[0] ?? '').matchAll(/^\| `([\w-]+)` \|/gm)]
  const named = rows.map(([, room]) => room ?? '')
  const [, list = ''] = /const ROOMS = \[([\s\S]*?)\n\]/.exec(read('scripts/check-rooms.mjs')) ?? []
  const rooms = [...list.matchAll(/'([\w-]+)'/g)].map(([, room]) => room ?? '')
  assert.ok(rooms.length > 10)
  assert.equal(named, rooms)
})

test.run()
