// One row says everything about an option: its range, default, help, key in a run spec, name in a
// configuration and place in the core's structs. Schemas, run specs, flags, the configuration and
// what the addon gets are made of rows here and where they are used.
import type { z } from 'zod'

/** What there is to say about an option whose value is a `V`. */
export interface OptionRow<V = unknown> {
  /** The values there are. */
  readonly schema: () => z.ZodType<unknown, V>
  /** Without one the method decides, or the core. */
  readonly default?: V
  readonly help: string
  /** Key in a run spec, and the name of a flag where it is a word. */
  readonly key?: string
  /** How a run spec's text is read; default: as a number, or as it is where there are words. */
  readonly read?: (text: string) => unknown
  /** Another method brings its own value: it does not outlive a change of method. */
  readonly isOfMethod?: true
  /** Name in the section `optimizer` of a configuration, for what is no part of a run spec. */
  readonly config?: string
  /**
   * Name in native/core/local/module_options.h, inner ones behind a point; default: the option's.
   * Null: no option of a single module.
   */
  readonly native?: string | null
}

/** A row for every option of an interface; the schema takes no value that the interface does not. */
export type RowsOf<Options> = {
  readonly [Name in keyof Options]-?: OptionRow<NonNullable<Options[Name]>>
}

type Rows = Readonly<Record<string, OptionRow>>

/** A row's schema without its default. */
export type BareField<Row> = Row extends { readonly schema: () => infer S extends z.ZodType }
  ? S
  : never

/** A row's schema: what is left out has the default. */
export type Field<Row> = Row extends { readonly default: unknown }
  ? z.ZodDefault<BareField<Row>>
  : z.ZodOptional<BareField<Row>>

/** The fields of an options object, each described. */
export function fieldsOf<R extends Rows>(rows: R): { [Name in keyof R]: Field<R[Name]> } {
  return mapped(rows, fieldOf) as { [Name in keyof R]: Field<R[Name]> }
}

/** The same without defaults, for what stands over another options object. */
export function bareFieldsOf<R extends Rows>(rows: R): { [Name in keyof R]: BareField<R[Name]> } {
  const bare = ({ schema, help }: OptionRow) => schema().describe(help)
  return mapped(rows, bare) as { [Name in keyof R]: BareField<R[Name]> }
}

function fieldOf({ schema, default: value, help }: OptionRow): z.ZodType {
  const field = schema()
  return (value === undefined ? field.optional() : field.default(value)).describe(help)
}

function mapped(rows: Rows, make: (row: OptionRow) => z.ZodType): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, make(row)]))
}
