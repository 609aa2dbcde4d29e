// What the tests read and do on the GraphiQL page, whose editor is Monaco.

const NO_BREAK_SPACES = /\u00a0/g;

/**
 * The lines that are shown of GraphiQL's `query` editor or of its response pane; empty before there is one.
 * @param {import('playwright-core').Page} page
 * @param {'query' | 'response'} name
 */
export async function editorText(page, name) {
  const lines = await page.locator(`.graphiql-${name === 'query' ? 'query-editor' : 'response'} .view-line`).evaluateAll((shown) => {
    const top = (line) => Number.parseFloat(line.style.top);
    return shown.sort((a, b) => top(a) - top(b)).map((line) => line.textContent);
  });
  return lines.join('\n').replace(NO_BREAK_SPACES, ' ').trim();
}

/**
 * Replaces what is in the query editor.
 * @param {import('playwright-core').Page} page
 * @param {string} text
 */
export async function writeQuery(page, text) {
  await page.locator('.graphiql-query-editor .view-lines').click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(text);
}

/**
 * `data` of the response pane; undefined while there is none, or not all of it is shown.
 * @param {import('playwright-core').Page} page
 */
export async function responseData(page) {
  const text = await editorText(page, 'response');
  let response;
  try {
    response = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (response.errors) throw new Error(`the server answered ${text}`);
  return response.data;
}
