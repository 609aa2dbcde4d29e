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
  if (element.textContent === text) return;
  const [only, second] = element.childNodes;
  // The same node, so that it stays selected.
  if (only instanceof Text && !second && parts.every((part) => typeof part === 'string')) only.data = text;
  else element.replaceChildren(...parts);
}

/**
 * Sets an attribute, if it is another.
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value null removes it
 */
export function mark(element, name, value) {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/**
 * Changes the document such that the focus and the selected text stay where they are, as far as those elements stay.
 * @param {() => void} change
 */
export function keepPlace(change) {
  const focused = document.activeElement;
  const selection = getSelection();
  const [anchor, focus] = [pointOf(selection?.anchorNode, selection?.anchorOffset), pointOf(selection?.focusNode, selection?.focusOffset)];
  change();
  if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  if (!selection || !anchor?.node.isConnected || !focus?.node.isConnected) return;
  const [from, to] = [offsetOf(anchor), offsetOf(focus)];
  if (selection.anchorNode === anchor.node && selection.anchorOffset === from && selection.focusNode === focus.node && selection.focusOffset === to) return;
  selection.setBaseAndExtent(anchor.node, from, focus.node, to);
}

/**
 * An end of what is selected.
 * @param {Node | null | undefined} node
 * @param {number} offset
 */
const pointOf = (node, offset = 0) => (node ? { node, offset, isAtEnd: offset > 0 && offset === lengthOf(node) } : null);

/** @param {{ node: Node, offset: number, isAtEnd: boolean }} point of which the text may be another now */
const offsetOf = ({ node, offset, isAtEnd }) => (isAtEnd ? lengthOf(node) : Math.min(offset, lengthOf(node)));

/** @param {Node} node */
const lengthOf = (node) => (node instanceof CharacterData ? node.length : node.childNodes.length);

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
