// The page is drawn whole, as a tree of new elements, and morph carries over to the document what differs: focus, scroll position and selection stay.

// h makes an element. Attributes that are null, undefined or false are left out, true is the empty string.
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// svg is h for elements of SVG.
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child);
  }
  return element;
}

// morph makes the children of a document's element those of another, which is used up. Elements with data-key are found again by it, others by their place.
export function morph(into, from) {
  const keyed = new Map();
  for (const child of into.children) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  let at = into.firstChild;
  for (let want = from.firstChild, next; want; want = next) {
    next = want.nextSibling;
    const key = want.dataset?.key;
    const have = key ? keyed.get(key) : at?.dataset?.key ? null : at;
    if (have && have.nodeType === want.nodeType && have.nodeName === want.nodeName) {
      if (have === at) at = at.nextSibling;
      else into.insertBefore(have, at);
      keyed.delete(key);
      update(have, want);
    } else {
      into.insertBefore(want, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function update(have, want) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  for (const { name, value } of want.attributes) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  for (let i = have.attributes.length - 1; i >= 0; i--) {
    const { name } = have.attributes[i];
    if (!want.hasAttribute(name) && !theReaders(have, name)) have.removeAttribute(name);
  }
  morph(have, want);
}

// theReaders are attributes that who reads the page has set, and not who drew it.
function theReaders(element, name) {
  return name === "open" && element.nodeName === "DETAILS";
}
