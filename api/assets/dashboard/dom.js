// The few things that every part does with the document. Text goes in as text, never as markup.

/**
 * The element with this id.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function find(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return element;
}

/**
 * A new element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} attributes
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * A name that anybody may have written, such that its direction changes nothing around it.
 * @param {string} name
 */
export function isolated(name) {
  return make('bdi', {}, name);
}

/**
 * Sets an element's text, if it is another: what has not changed is not read out again.
 * @param {Element} element
 * @param {(Node | string)[]} parts
 */
export function say(element, ...parts) {
  const text = parts.map((part) => (typeof part === 'string' ? part : part.textContent)).join('');
  if (element.textContent !== text) element.replaceChildren(...parts);
}

/**
 * Goes where a link leads without loading the page, unless the visitor wants it in another window.
 * @param {HTMLElement} within
 * @param {(search: string) => void} go
 */
export function followLinks(within, go) {
  within.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a[href^="?"]') : null;
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(link.getAttribute('href') ?? '');
  });
}
