// A configuration -> YAML with a comment at each name; the schema -> JSON Schema for editors.
import type { z } from 'zod'
import { expected, LocalformerError } from '../base/errors.js'
import { safeLine } from '../base/terminal.js'
import { helpOf, unwrap, zod } from '../base/validate.js'
import { checkInput } from './resolve.js'
import { configSchema, fileSchema, type TrainingConfig } from './schema.js'

/**
 * YAML that `readConfig` and `--config` read again, with a comment at each name; what has no value
 * stands in comments alone.
 *
 * @param head Comment above all of it.
 * @throws {LocalformerError} `ERR_CONFIG` for what is no configuration.
 */
export async function configToYaml(config: TrainingConfig, head = ''): Promise<string> {
  checkInput(config, 'the configuration')
  if (typeof head !== 'string') {
    throw new LocalformerError('ERR_CONFIG', expected('a text', 'head', head))
  }
  const { Document } = await import('yaml')
  const document = new Document(null)
  if (head !== '') document.commentBefore = head.replace(/^/gm, ' ')
  document.contents = commented(document, configSchema(), config) as never
  const options = { lineWidth: 0, flowCollectionPadding: false, doubleQuotedAsJSON: true }
  return document.toString(options)
}

type YamlDocument = InstanceType<typeof import('yaml').Document>

function commented(document: YamlDocument, schema: z.ZodObject, values: object) {
  const map = document.createNode({}) as import('yaml').YAMLMap
  const absent: string[] = []
  for (const [name, field] of Object.entries(schema.shape)) {
    const value = (values as Record<string, unknown>)[name]
    const inner = unwrap(field) as z.ZodObject
    const help = helpOf(field)
    if (value === undefined) {
      absent.push(` ${name}: ${help}`)
      continue
    }
    const isSection = inner.shape !== undefined
    const key = document.createNode(name) as import('yaml').Scalar
    const node = isSection
      ? commented(document, inner, value as object)
      : (document.createNode(value) as import('yaml').Node & { flow?: boolean })
    // In quotes every character can be written by its number, as a terminal shows it.
    if (typeof value === 'string' && safeLine(value) !== value) {
      Object.assign(node, { type: 'QUOTE_DOUBLE' })
    }
    if (isSection) {
      key.spaceBefore = true
      if (help !== '') key.commentBefore = ` ${help}`
    } else {
      if (Array.isArray(value) && value.every((one) => typeof one !== 'object')) node.flow = true
      if (help !== '' && typeof value !== 'object') node.comment = ` ${help}`
    }
    map.add(document.createPair(key, node))
  }
  if (absent.length > 0) map.comment = absent.join('\n')
  return map
}

/**
 * JSON Schema (draft 7) of a configuration file, as editors take it:
 * `# yaml-language-server: $schema=FILE` in YAML, `"$schema": "FILE"` in JSON.
 */
export function configJsonSchema(): object {
  return {
    title: 'A training run of localformer',
    ...zod().toJSONSchema(fileSchema(), {
      io: 'input',
      target: 'draft-07',
      override: ({ jsonSchema }) => {
        // Of whole numbers without an end.
        if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
      },
    }),
  }
}
