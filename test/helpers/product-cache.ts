// The file of chosen products in a cache, as another process left it or as a test wants it.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** Gives the cache in `folder` this processor's file with all that the one in `like` has, of one backend. */
export function setAllProducts(folder: string, backend: string, like: string): void {
  const [name = ''] = readdirSync(path.join(like, 'products'))
  const document = JSON.parse(readFileSync(path.join(like, 'products', name), 'utf8'))
  const choices = Object.keys(document.choices).map((product) => [product, backend])
  const products = path.join(folder, 'products')
  rmSync(products, { recursive: true, force: true })
  mkdirSync(products, { recursive: true })
  const text = JSON.stringify({ ...document, choices: Object.fromEntries(choices) })
  writeFileSync(path.join(products, name), text)
}
