// Bundles GraphiQL 5, React and the Monaco editor: the same bytes from the same package-lock.json.
//
//   npm ci --ignore-scripts && node build.mjs FOLDER
//
// Monaco writes styles into markup and into <style>, which the page's policy forbids. PATCHES have it set them through the
// DOM instead, which is allowed; and they give the one place that makes markup of a text a Trusted Types policy. The build
// fails if a patch does not find the text that it replaces.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGES = join(HERE, 'node_modules');
const out = process.argv[2];
if (!out) throw new Error('usage: node build.mjs FOLDER');

/** Sets the styles that markup has as `data-style`. */
const STYLED = `
const styled = (root) => {
  for (const element of root.querySelectorAll('[data-style]')) {
    element.style.cssText = element.dataset.style;
    element.removeAttribute('data-style');
  }
};
`;
/** Has a <style> that is in no document stand for a constructed sheet of the document or shadow root around an element. */
const SHEETED = `
const sheeted = (style, container) => {
  const sheet = new CSSStyleSheet();
  const text = { get: () => '', set: (css) => sheet.replaceSync(css) };
  Object.defineProperties(style, { textContent: text, innerText: text, sheet: { get: () => sheet } });
  const found = container.getRootNode();
  const root = 'adoptedStyleSheets' in found ? found : document;
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
  style.remove = () => {
    root.adoptedStyleSheets = root.adoptedStyleSheets.filter((other) => other !== sheet);
  };
};
`;

/** Lets the descriptions of the schema be markup: markdown-it, without HTML, has escaped whatever else is in them. */
const DESCRIBED = `
const descriptions = globalThis.trustedTypes?.createPolicy('descriptions', { createHTML: (html) => html });
const described = (html) => descriptions?.createHTML(html) ?? html;
`;

/** By file: pairs of a text that is there, and what replaces it wherever it is; a first text is put before the file. */
const PATCHES = {
  '@graphiql/react/dist/components/markdown-content/index.js': [DESCRIBED, ['{ __html: t4 }', '{ __html: described(t4) }']],
  'monaco-editor/esm/vs/editor/browser/view/viewLayer.js': [
    STYLED,
    [
      "lastChild.insertAdjacentHTML('afterend', newLinesHTML);\n        }",
      "lastChild.insertAdjacentHTML('afterend', newLinesHTML);\n        }\n        styled(this._domNode);",
    ],
    ['hugeDomNode.innerHTML = invalidLinesHTML;', 'hugeDomNode.innerHTML = invalidLinesHTML;\n        styled(hugeDomNode);'],
  ],
  ...Object.fromEntries(
    [
      'browser/view/viewOverlays',
      'browser/viewParts/currentLineHighlight/currentLineHighlight',
      'browser/viewParts/decorations/decorations',
      'browser/viewParts/indentGuides/indentGuides',
      'browser/viewParts/lineNumbers/lineNumbers',
      'browser/viewParts/lines/viewLine',
      'browser/viewParts/linesDecorations/linesDecorations',
      'browser/viewParts/marginDecorations/marginDecorations',
      'browser/viewParts/selections/selections',
      'browser/viewParts/whitespace/whitespace',
      'common/viewLayout/viewLineRenderer',
    ].map((name) => [`monaco-editor/esm/vs/editor/${name}.js`, ['', [/(?<=[ '])style="/g, 'data-style="']]]),
  ),
  'monaco-editor/esm/vs/base/browser/dom.js': [
    SHEETED,
    ["style.media = 'screen';", "style.media = 'screen';\n    sheeted(style, container);"],
    ['container.appendChild(style);\n    if (disposableStore)', 'if (disposableStore)'],
  ],
  'monaco-editor/esm/vs/base/browser/ui/contextview/contextview.js': [
    SHEETED,
    [
      "const style = document.createElement('style');",
      "const style = document.createElement('style');\n                sheeted(style, this.shadowRoot);",
    ],
    ['this.shadowRoot.appendChild(style);', ''],
  ],
};

const patched = new Set();
const patches = {
  name: 'patches',
  setup(building) {
    building.onLoad({ filter: /\.js$/ }, ({ path }) => {
      const name = path.slice(PACKAGES.length + 1);
      if (!PATCHES[name]) return undefined;
      const [before, ...pairs] = PATCHES[name];
      let contents = readFileSync(path, 'utf8');
      for (const [found, replacement] of pairs) {
        const replaced = contents.replaceAll(found, replacement);
        if (replaced === contents) throw new Error(`${name} has no ${found}: look at the patches for this version`);
        contents = replaced;
      }
      patched.add(name);
      return { contents: before + contents, loader: 'js' };
    });
  },
};

const common = {
  absWorkingDir: HERE,
  bundle: true,
  minify: true,
  outdir: out,
  target: 'es2022',
  define: { 'process.env.NODE_ENV': '"production"' },
  loader: { '.ttf': 'dataurl' },
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
};
mkdirSync(out, { recursive: true });
const page = await build({
  ...common,
  entryPoints: { 'graphiql.min': 'entry.mjs' },
  format: 'esm',
  plugins: [patches],
});
const missing = Object.keys(PATCHES).filter((name) => !patched.has(name));
if (missing.length > 0) throw new Error(`not a part of the bundle any more: ${missing.join(', ')}`);
const workers = await build({
  ...common,
  entryPoints: {
    'editor.worker.min': 'monaco-editor/esm/vs/editor/editor.worker.js',
    'graphql.worker.min': 'monaco-graphql/esm/graphql.worker.js',
    'json.worker.min': 'monaco-editor/esm/vs/language/json/json.worker.js',
  },
  format: 'iife',
});

/** Packages without a text of their licence, and those of the same authors that have it. */
const SAME_AUTHORS = {
  '@graphiql/plugin-doc-explorer': 'graphiql',
  '@graphiql/plugin-history': 'graphiql',
  'react-compiler-runtime': 'react',
  'react-remove-scroll-bar': 'react-remove-scroll',
};

writeFileSync(join(out, 'graphiql.LICENSE.txt'), licences([page, workers]));

/** The licences of all packages of which something is in the bundle. */
function licences(builds) {
  const inputs = builds.flatMap(({ metafile }) => Object.values(metafile.outputs).flatMap((output) => Object.keys(output.inputs)));
  const found = new Set(inputs.map((path) => path.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[0]).filter(Boolean));
  const texts = [...found].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(HERE, folder, 'package.json'), 'utf8'));
    const text = licenceIn(join(HERE, folder)) ?? licenceIn(join(PACKAGES, SAME_AUTHORS[name] ?? ''));
    if (!text) throw new Error(`${name} has no text of its licence`);
    return `${name} ${version}: ${license}\n\n${text}\n`;
  });
  return texts.join(`\n${'='.repeat(80)}\n\n`);
}

/** @param {string} folder of a package */
function licenceIn(folder) {
  const file = readdirSync(folder).find((entry) => /^(licen[sc]e|copying)/i.test(entry));
  return file && readFileSync(join(folder, file), 'utf8').trim();
}
