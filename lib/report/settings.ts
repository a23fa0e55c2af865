// A configuration of any shape as rows of name and value, nested names joined by points.
import type { Json } from './json.js'

const MAX_ROWS = 400
const MAX_TEXT = 400

export function settingsOf(config: Json): [string, string][] {
  const rows: [string, string][] = []
  const walk = (name: string, value: unknown) => {
    if (rows.length >= MAX_ROWS) return
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      rows.push([name, textOf(value)])
      return
    }
    for (const [key, inner] of Object.entries(value))
      walk(name === '' ? key : `${name}.${key}`, inner)
  }
  walk('', config)
  return rows
}

function textOf(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`
}
