// Makes a part of the page what the server says it is now, and leaves alone what is the same: what people have ticked,
// selected, scrolled to or reached by the keyboard is theirs, however often the page changes.

/** Make an element what another one is. What has a key (data-key, or an id) stays with its key wherever it goes. */
export function patch(part, fresh) {
  const focused = document.activeElement;
  change(part, fresh);
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true }); // it was moved
}

function change(part, fresh) {
  if (part.isEqualNode(fresh)) return;
  if (part.nodeType !== Node.ELEMENT_NODE) {
    part.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...part.attributes]) if (!fresh.hasAttribute(name)) part.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (part.getAttribute(name) !== value) part.setAttribute(name, value);
  changeChildren(part, [...fresh.childNodes]);
}

function changeChildren(part, wanted) {
  const keys = new Set(wanted.map(keyOf));
  const held = new Map([...part.children].map((child) => [keyOf(child), child]));
  let at = part.firstChild;
  for (const fresh of wanted) {
    const key = keyOf(fresh);
    const found = key ? held.get(key) : null;
    held.delete(key);
    while (found && at && at !== found && !(keyOf(at) && keys.has(keyOf(at)))) at = without(at);
    const same = found ? found.nodeName === fresh.nodeName && found : at && !key && alike(at, fresh) && at;
    if (!same) {
      part.insertBefore(document.importNode(fresh, true), at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else part.insertBefore(same, at);
    change(same, fresh);
  }
  while (at) at = without(at);
}

function without(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function alike(one, other) {
  return !keyOf(one) && one.nodeName === other.nodeName && one.namespaceURI === other.namespaceURI;
}

function keyOf(node) {
  return node.dataset?.key ?? node.id ?? "";
}
