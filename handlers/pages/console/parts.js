// The parts that views are made of. A part shows texts that are handed to it, as text.

import { ago, dateTime } from "./formats.js";
import { createContext, html, useContext, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";
import { SAID, sentenceOf } from "./texts.js";

const Refused = createContext(null); // the failure of the form around a field: {field, message}

let hasHeading = false;

/** A view's heading, which names the page. It takes the focus when it comes, but for the page's first. */
export function Heading({ children, ...rest }) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${heading.current.textContent} · ${SAID.brand}`;
    if (hasHeading) focusHeading();
    hasHeading = true;
  }, [children]);
  return html`<h1 ref=${heading} tabindex="-1" ...${rest}>${children}</h1>`;
}

export function focusHeading() {
  const heading = document.querySelector("h1");
  if (heading) heading.focus();
}

/** A button. While `busy` it says that it works, and a second press does nothing. */
export function Button({ children, busy = false, kind = "", type = "button", onClick, ...rest }) {
  return html`<button
    type=${type}
    class=${`button ${kind}`}
    aria-disabled=${busy ? "true" : null}
    onClick=${(event) => (busy ? event.preventDefault() : onClick && onClick(event))}
    ...${rest}
  >
    ${busy && html`<span class="spinner" aria-hidden="true"></span>`}${children}
  </button>`;
}

/** A labelled input. `hint` and the form's refusal of this field are its description. */
export function Field({ name, id = name, label, hint, as = "input", class: kind = "", children, ...rest }) {
  const refused = useContext(Refused);
  const [shown, setShown] = useState(false);
  const message = refused && refused.field === name ? refused.message : "";
  const described = [hint && `${id}-hint`, message && `${id}-refused`].filter(Boolean).join(" ");
  const secret = rest.type === "password";
  return html`<div class=${`field ${kind}`}>
    <label for=${id}>${label}</label>
    <div class="field-row">
      <${as}
        id=${id}
        name=${name}
        aria-invalid=${message ? "true" : null}
        aria-describedby=${described || null}
        ...${rest}
        ...${secret && shown ? { type: "text" } : {}}
      >
        ${children}
      <//>
      ${secret &&
      html`<button type="button" class="quiet" aria-pressed=${String(shown)} onClick=${() => setShown(!shown)}>
        ${shown ? SAID.hide : SAID.show}<span class="unseen"> ${label.toLowerCase()}</span>
      </button>`}
    </div>
    ${hint && html`<p id=${`${id}-hint`} class="hint">${hint}</p>`}
    ${message && html`<p id=${`${id}-refused`} class="refused">${message}</p>`}
  </div>`;
}

/** A checkbox with its label. */
export function Check({ name, label, ...rest }) {
  return html`<label class="check"><input type="checkbox" name=${name} ...${rest} /><span>${label}</span></label>`;
}

/** A form. `send(values)` does what it is for; what it raises is shown at the field that it names, or above the button.
    `check(values)` returns {field: sentence} of what must not be sent. */
export function Form({ send, check = () => ({}), label, working, kind = "primary", children, aside, ...rest }) {
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState(null);
  const form = useRef(null);
  const alive = useAlive();

  useEffect(() => {
    const invalid = refused && refused.field && form.current.elements.namedItem(refused.field);
    if (invalid && invalid.focus) invalid.focus();
  }, [refused]);

  function refuse(field, message) {
    const known = field && form.current.elements.namedItem(field);
    setRefused({ field: known ? field : "", message });
  }

  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    const values = Object.fromEntries(new FormData(form.current));
    const [[field, message] = []] = Object.entries(check(values));
    if (field) return refuse(field, message);
    setRefused(null);
    setBusy(true);
    try {
      await send(values, form.current);
    } catch (failure) {
      if (alive.current) refuse((failure.field || "").split(".").pop(), sentenceOf(failure));
    } finally {
      if (alive.current) setBusy(false);
    }
  }

  return html`<form ref=${form} novalidate onSubmit=${submit} ...${rest}>
    <${Refused.Provider} value=${refused}>${children}<//>
    <div>
      <div role="alert">${refused && !refused.field && html`<p class="refused">${refused.message}</p>`}</div>
      <div class="actions">
        <${Button} type="submit" kind=${kind} busy=${busy}>${busy ? working : label}<//>
        ${aside}
      </div>
    </div>
  </form>`;
}

/** A ref that is true as long as the component is on the page: what arrives later is dropped. */
export function useAlive() {
  const alive = useRef(true);
  useEffect(() => () => (alive.current = false), []);
  return alive;
}

/** Load what a view shows. Returns {value, failure, loading, reload}; `value` stays while it is loaded anew. */
export function useLoaded(load, depends) {
  const [state, setState] = useState({ value: null, failure: null, loading: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let wanted = true;
    setState((before) => ({ ...before, failure: null, loading: true }));
    load().then(
      (value) => wanted && setState({ value, failure: null, loading: false }),
      (failure) => wanted && setState((before) => ({ ...before, failure, loading: false })),
    );
    return () => (wanted = false);
  }, [...depends, turn]);
  return { ...state, reload: () => setTurn((number) => number + 1) };
}

/** What `useLoaded` returned: its value by `children(value)`, a wait, or a failure with a way to try again. */
export function Loaded({ of, children, wait = SAID.loading }) {
  if (of.failure && of.failure.kind !== "ended") {
    return html`<${Notice} kind="problem" title=${SAID.notShown}>
      <p>${sentenceOf(of.failure)}</p>
      <${Button} onClick=${of.reload}>${SAID.again}<//>
    <//>`;
  }
  if (of.value === null) return html`<p class="wait" role="status">${wait}</p>`;
  return children(of.value);
}

/** A block that stands out. `kind`: "", "good", "warning" or "problem". */
export function Notice({ kind = "", title, children }) {
  return html`<div class=${`notice ${kind}`} role=${kind === "problem" ? "alert" : null}>
    ${title && html`<p class="notice-title">${title}</p>`}${children}
  </div>`;
}

/** What stands where nothing is yet: what it would be, and what to do next. */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

/** A modal dialog. Escape and the button of `close` close it; the focus returns to what opened it. */
export function Dialog({ title, close, children }) {
  const dialog = useRef(null);
  useLayoutEffect(() => {
    const { current } = dialog;
    const opener = document.activeElement;
    current.showModal();
    return () => {
      current.close(); // before it goes, or all else would still be inert, and take no focus
      if (opener && opener.isConnected) opener.focus();
    };
  }, []);
  return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onCancel=${(event) => (event.preventDefault(), close())}>
    <h2 id="dialog-title">${title}</h2>
    ${children}
  </dialog>`;
}

/** A text to copy: a key, a command. `label` names it, `tell` says that it was copied. */
export function Copy({ text, label, tell, secret = false }) {
  const shown = useRef(null);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      tell(SAID.copied(label));
    } catch {
      getSelection().selectAllChildren(shown.current); // no permission: it is selected, ready for Ctrl+C
      tell(SAID.selected(label));
    }
  }
  return html`<div class="copy">
    <pre ref=${shown} tabindex="0" role="group" aria-label=${label}><code translate="no" class=${secret ? "secret" : ""}>${text}</code></pre>
    <${Button} onClick=${copy}>${SAID.copy}<span class="unseen"> ${label}</span><//>
  </div>`;
}

/** A moment: how long ago it was, or with `exact` when. The other is its title. */
export function Time({ at, exact = false }) {
  return html`<time datetime=${at} title=${exact ? ago(at) : dateTime(at)}>${exact ? dateTime(at) : ago(at)}</time>`;
}

/** A number with its name, and a note below it. */
export function Figure({ label, value, children }) {
  return html`<div class="figure"><dt>${label}</dt><dd><span class="figure-value">${value}</span>${children}</dd></div>`;
}
