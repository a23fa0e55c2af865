// What each module's decoder gives back, beside what it should have given.
import { escapeHtml } from './html.js'
import type { ReconstructionPanel, RunData } from './run-data.js'
import { formatNumber } from './scale.js'

/** '' where no module reconstructs. */
export function reconstructionPanels(reconstructions: RunData['reconstructions']): string {
  if (reconstructions === null) return ''
  const { panels, labels, epoch } = reconstructions
  const hasComponents = panels.some(({ kind }) => kind === 'components')
  return `<p class="soft">After epoch ${formatNumber(epoch, 7)}, of test images, in evaluation mode. Relative error: squared error over the target’s squared distance from its channels’ means, so 0 is perfect and 1 no better than these means.${
    hasComponents
      ? ' Features are shown in false colours: the first three principal components over the tokens of target and prediction together.'
      : ''
  }</p>
<div class="strip">${panels.map((panel) => panelOf(panel, labels)).join('\n')}</div>`
}

function panelOf(panel: ReconstructionPanel, labels: readonly string[]): string {
  const { module, kind, height, width, loss, relativeError } = panel
  const what =
    kind === 'pixels' ? `image, ${width} × ${height} px` : `features, ${width} × ${height} tokens`
  return `<figure><figcaption>Module ${module + 1}: ${what}</figcaption>
<p class="soft">relative error ${formatNumber(relativeError)}, loss R ${formatNumber(loss)}</p>
<div class="images">${row('target', panel.target, module, labels)}${row('decoded', panel.prediction, module, labels)}<span></span>${panel.target
    .slice(0, SHOWN)
    .map((_, i) => `<b>${escapeHtml(labels[i] ?? '')}</b>`)
    .join('')}</div></figure>`
}

const SHOWN = 4

function row(
  name: string,
  images: readonly string[],
  module: number,
  labels: readonly string[],
): string {
  const cells = images.slice(0, SHOWN).map((png, i) => {
    const text = `${name} of module ${module + 1}, ${labels[i] ?? `image ${i + 1}`}`
    return `<img alt="${escapeHtml(text)}" src="data:image/png;base64,${png}">`
  })
  return `<span>${name}</span>${cells.join('')}`
}
