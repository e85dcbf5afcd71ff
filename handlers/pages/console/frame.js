// The frame of every view: the navigation, the last message, and the replacements of a view that cannot be shown.

import { Button, Heading, Notice } from "./parts.js";
import { html, useErrorBoundary } from "./preact.js";
import { hrefOf } from "./router.js";
import { SAID, WAYS, sentenceOf } from "./texts.js";

const MARK = "M2 7v2M5 4v8M8 2v12M11 5v6M14 7v2";

/** The name of the service; with a session also the views and the button to log out. */
export function Header({ session, views, name, range, logOut }) {
  return html`<header class="top">
    <div class="top-row">
      <span class="brand"><svg viewBox="0 0 16 16" aria-hidden="true"><path d=${MARK} /></svg>${SAID.brand}</span>
      ${session &&
      html`<span class="who" title=${session.email}>${session.email}</span>
        <${Button} kind="small" onClick=${logOut}>${SAID.logOut}<//>`}
    </div>
    ${session &&
    views.length > 0 &&
    html`<nav aria-label=${SAID.views}>
      ${views.map((view) => html`<a key=${view} href=${hrefOf({ view, range })} aria-current=${view === name ? "page" : null}>${WAYS[view]}</a>`)}
    </nav>`}
  </header>`;
}

/** A view. An exception while it is drawn is shown in its place, and the rest of the page keeps working. */
export function ShownView({ view: Shown, shared }) {
  const [broken] = useErrorBoundary((error) => console.error(error));
  if (!broken) return html`<${Shown} ...${shared} />`;
  return html`<div class="view-head"><${Heading}>${SAID.broken}<//></div>
    <${Notice} kind="problem"><p>${SAID.brokenNext}</p><p><code>${String(broken)}</code></p><//>`;
}

/** The replacement of every view while the session's user is unknown. */
export function Unreachable({ failure, again }) {
  return html`<div class="view-head"><${Heading}>${SAID.unreachable}<//></div>
    <${Notice} kind="problem">
      <p>${sentenceOf(failure)}</p>
      <${Button} onClick=${again}>${SAID.again}<//>
    <//>`;
}

/** The last message, on the screen and for screen readers. It stays until it is closed or replaced. */
export function Told({ sentence, close }) {
  return html`<div class="told" role="status">
    ${sentence && html`<p>${sentence}</p><${Button} kind="small" aria-label=${SAID.close} onClick=${close}>×<//>`}
  </div>`;
}
