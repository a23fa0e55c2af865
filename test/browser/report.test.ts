// report.html in a real browser: charts are drawn, nothing is asked for beyond the file, it can be
// read in light and dark, on a phone, and with the keyboard. Needs an installed Chromium (the
// environment variable CHROME_PATH, or one of the usual names on the PATH); skipped without.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { writeReport } from '../../lib/index.js'
import { writeRun } from '../helpers/run-fixture.js'

const HOSTILE = `<script>document.title='run'</script><img src=x onerror="document.title='run'">"'&`
const SCHEMES = ['light', 'dark'] as const
const WIDTHS = [360, 1280] as const

const executablePath = findBrowser()
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-browser-'))
let browser: Browser
let reports: Record<'plain' | 'hostile' | 'comparison', string>

function findBrowser(): string | undefined {
  const { CHROME_PATH } = process.env
  if (CHROME_PATH) return CHROME_PATH
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  return names
    .map((name) => spawnSync('which', [name], { encoding: 'utf8' }).stdout?.trim())
    .find((found) => found)
}

if (executablePath === undefined) {
  console.log('skipped: there is no Chromium (set CHROME_PATH)')
  test.skip('report.html in a browser: there is no Chromium', () => {})
} else {
  test.before(async () => {
    const run = (name: string, fixture: Parameters<typeof writeRun>[1]) => {
      const directory = path.join(folder, name)
      writeRun(directory, fixture)
      return directory
    }
    const plain = run('plain', { steps: 400, ranks: 2 })
    const hostile = run('hostile', { text: HOSTILE, steps: 40 })
    const short = run('short', { modules: 1, spec: 'backprop', steps: 12, epochs: 1 })
    reports = {
      plain: await writeReport(plain),
      hostile: await writeReport(hostile),
      comparison: await writeReport([plain, short], { output: path.join(folder, 'both.html') }),
    }
    // Root, as in a container, has no sandbox.
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
    browser = await chromium.launch({ executablePath, args })
  })

  test.after(async () => {
    await browser?.close()
    rmSync(folder, { recursive: true, force: true })
  })
}

/** Runs `use` on a report, and fails for whatever the page asks for or says on its console. */
async function withPage(
  file: string,
  use: (page: Page) => Promise<void>,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<void> {
  const context = await browser.newContext(options)
  try {
    const page = await context.newPage()
    const [asked, said]: [string[], string[]] = [[], []]
    const address = pathToFileURL(file).href
    page.on('request', (request) => {
      const url = request.url()
      if (url !== address && !url.startsWith('data:')) asked.push(url)
    })
    page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => said.push(`error: ${error.message}`))
    await page.goto(address)
    await use(page)
    assert.equal(asked, [], 'requests')
    assert.equal(said, [], 'console')
  } finally {
    await context.close()
  }
}

const check = executablePath === undefined ? test.skip : test

for (const name of ['plain', 'hostile', 'comparison'] as const) {
  check(`${name}: charts have shapes with a size, named axes and units`, async () => {
    await withPage(reports[name], async (page) => {
      const charts = await page.locator('figure:has(svg.chart)').evaluateAll((figures) =>
        figures.map((figure) => ({
          title: figure.querySelector('figcaption')?.textContent ?? '',
          yLabel: figure.querySelector('p.axis')?.textContent ?? '',
          xLabel: figure.querySelector('text.axis')?.textContent ?? '',
          label: figure.querySelector('svg.chart')?.getAttribute('aria-label') ?? '',
          ticks: figure.querySelectorAll('text.tick').length,
          rows: figure.querySelectorAll('tbody tr').length,
          shapes: [...figure.querySelectorAll('path')].map((shape) => {
            const { width, height } = shape.getBoundingClientRect()
            return { width, height, data: shape.getAttribute('d') ?? '' }
          }),
        })),
      )
      assert.ok(charts.length >= (name === 'comparison' ? 5 : 8), `${charts.length} charts`)
      for (const { title, yLabel, xLabel, label, ticks, rows, shapes } of charts) {
        assert.ok(title.length > 5 && xLabel.length > 3 && yLabel.length > 3, title)
        assert.ok(label.includes('x: ') && label.includes('y: '), label)
        assert.ok(ticks >= 4 && rows >= 1, title)
        assert.ok(
          shapes.some(({ width, height }) => width > 50 && height > 0),
          title,
        )
        for (const { data } of shapes) assert.match(data, /^M[\d. MLHVZ-]+$/)
      }
      const units = charts.map(({ yLabel, xLabel }) => `${yLabel} ${xLabel}`).join('\n')
      for (const unit of ['%', 'nats', 'images per second', 'bytes', 'ms', 'step', 'epoch']) {
        assert.match(units, unit)
      }
    })
  })
}

check('end to end and local stand side by side on one scale, with all four phases', async () => {
  await withPage(
    reports.plain,
    async (page) => {
      const boxes = await page.locator('#memory figure').evaluateAll((figures) =>
        figures.map((figure) => ({
          top: figure.getBoundingClientRect().top,
          ticks: [...figure.querySelectorAll('text.tick[text-anchor=end]')].map(
            (t) => t.textContent,
          ),
          areas: ['forward', 'losses', 'backward', 'update'].map(
            (phase) => figure.querySelectorAll(`path.p-${phase}`).length,
          ),
        })),
      )
      const [whole, local] = boxes as [(typeof boxes)[0], (typeof boxes)[0]]
      assert.is(boxes.length, 2)
      assert.is(whole.top, local.top)
      assert.equal(whole.areas, [1, 1, 1, 1])
      assert.equal(local.areas, [4, 4, 4, 4])
      assert.equal(
        whole.ticks.filter((t) => t?.includes('B')),
        local.ticks.filter((t) => t?.includes('B')),
      )
    },
    { viewport: { width: 1280, height: 900 } },
  )
})

check('pictures of targets and predictions are decoded', async () => {
  await withPage(reports.plain, async (page) => {
    const sides = await page
      .locator('#reconstruction img')
      .evaluateAll((images) => images.map((image) => (image as HTMLImageElement).naturalWidth))
    assert.is(sides.length, 3 * 2 * 4)
    assert.ok(
      sides.every((side) => side >= 8),
      sides.join(' '),
    )
  })
})

check('a hostile run changes nothing: no element of its own, no script', async () => {
  await withPage(reports.hostile, async (page) => {
    assert.ok((await page.title()).includes('<script>'))
    assert.is(await page.locator('script').count(), 0)
    assert.is(await page.locator('img:not([src^="data:image/png;base64,"])').count(), 0)
    assert.ok(await page.getByText("<script>document.title='run'</script>").first().isVisible())
  })
})

for (const colorScheme of SCHEMES) {
  for (const width of WIDTHS) {
    check(`${colorScheme}, ${width} px: text has contrast and nothing sticks out`, async () => {
      for (const file of Object.values(reports)) {
        await withPage(
          file,
          async (page) => {
            await page.locator('details').evaluateAll((all) => {
              for (const one of all) (one as HTMLDetailsElement).open = true
            })
            const { weak, seen } = await page.evaluate(contrasts)
            assert.ok(seen > 100, `${seen} texts`)
            assert.equal(weak, [])
            const [content, visible] = await page.evaluate(() => [
              document.documentElement.scrollWidth,
              document.documentElement.clientWidth,
            ])
            assert.ok((content ?? 0) <= (visible ?? 0), `${content} of ${visible} px`)
          },
          { colorScheme, viewport: { width, height: 800 } },
        )
      }
    })
  }
}

check('light and dark differ', async () => {
  const colors: string[] = []
  for (const colorScheme of SCHEMES) {
    await withPage(
      reports.plain,
      async (page) => {
        colors.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor))
      },
      { colorScheme },
    )
  }
  assert.is.not(colors[0], colors[1])
})

check('the pointer shows the values at a place, inside of the page', async () => {
  for (const width of WIDTHS) {
    await withPage(
      reports.plain,
      async (page) => {
        const figure = page.locator('#losses figure', { hasText: 'Label loss of every module' })
        const slices = figure.locator('.slice')
        const count = await slices.count()
        for (const at of [0, Math.floor(count / 2), count - 1]) {
          const slice = slices.nth(at)
          assert.is(await slice.locator('.tip rect').isVisible(), false)
          await slice.locator('.catch').hover()
          const box = await slice.locator('.tip rect').boundingBox()
          assert.ok(await slice.locator('.tip rect').isVisible())
          assert.ok((box?.x ?? -1) >= 0 && (box?.x ?? 0) + (box?.width ?? 9999) <= width)
          assert.match((await slice.locator('.tip').textContent()) ?? '', /step [\d,]+module 1/)
        }
      },
      { viewport: { width, height: 800 } },
    )
  }
})

check('the keyboard reaches every link, table and its rows', async () => {
  await withPage(reports.plain, async (page) => {
    const wanted = await page.locator('a, summary, .scroll:visible').count()
    const reached = new Set<string>()
    for (let i = 0; i < wanted; i++) {
      await page.keyboard.press('Tab')
      reached.add(
        await page.evaluate(() => {
          const all = [...document.querySelectorAll('a, summary, .scroll')]
          const outline = getComputedStyle(document.activeElement as Element).outlineStyle
          return outline === 'none'
            ? 'no outline'
            : `${all.indexOf(document.activeElement as Element)}`
        }),
      )
    }
    assert.is(reached.size, wanted)
    assert.not.ok(reached.has('-1') || reached.has('no outline'))
    const first = page.locator('summary').first()
    await first.focus()
    await page.keyboard.press('Enter')
    assert.ok(await page.locator('details table').first().isVisible())
  })
})

check('it is the same without JavaScript', async () => {
  const texts: string[] = []
  for (const javaScriptEnabled of [true, false]) {
    await withPage(
      reports.plain,
      async (page) => {
        texts.push((await page.locator('main').textContent()) ?? '')
        assert.ok(await page.locator('svg.chart').first().isVisible())
      },
      { javaScriptEnabled },
    )
  }
  assert.is(texts[0], texts[1])
})

check('a narrow screen scrolls tables inside of themselves', async () => {
  await withPage(
    reports.plain,
    async (page) => {
      const [content, visible] = await page
        .locator('#modules .scroll')
        .evaluate((box) => [box.scrollWidth, box.clientWidth])
      assert.ok((content ?? 0) > (visible ?? 9999))
    },
    { viewport: { width: 360, height: 800 } },
  )
})

/**
 * In the page: texts whose contrast with what is behind them is below 4.5 (WCAG 2.1, 1.4.3). Texts of
 * charts stand on the card that the chart is in.
 */
function contrasts(): { weak: string[]; seen: number } {
  const parse = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number)
  const luminance = ([r = 0, g = 0, b = 0]: number[]) => {
    const [x = 0, y = 0, z = 0] = [r, g, b].map((v) => {
      const c = v / 255
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * x + 0.7152 * y + 0.0722 * z
  }
  const backgroundOf = (element: Element | null): number[] => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor)
      if ((color[3] ?? 1) > 0) return color
    }
    return [255, 255, 255]
  }
  const weak: string[] = []
  let seen = 0
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent?.trim())
    if (!own) continue
    seen++
    const style = getComputedStyle(element)
    const tip = element.closest('.tip')
    const color = parse(element instanceof SVGElement ? style.fill : style.color)
    const behind = tip
      ? parse(getComputedStyle(tip.querySelector('rect') as Element).fill)
      : backgroundOf(element)
    const [light = 0, dark = 0] = [luminance(color), luminance(behind)].sort((a, b) => b - a)
    const ratio = (light + 0.05) / (dark + 0.05)
    if (ratio < 4.5) weak.push(`${element.textContent?.slice(0, 30)}: ${ratio.toFixed(2)}`)
  }
  return { weak: weak.slice(0, 5), seen }
}

test.run()
