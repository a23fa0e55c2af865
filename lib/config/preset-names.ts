// The names alone, which the schema needs before there can be a preset.

export const PRESET_NAMES = ['trgl', 'trial', 'quick'] as const
export type PresetName = (typeof PRESET_NAMES)[number]
