// The parts of views. A part shows the texts that it is given, as text.

import { ago, dateTime } from "./formats.js";
import { createContext, html, useContext, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";
import { addressOf } from "./router.js";
import { SAID, sentenceOf } from "./texts.js";

const Problems = createContext({}); // of the form around a field: {field: sentence}

let hasHeading = false;

/** A view's heading, which names the page. It takes the focus when it appears, except the page's first. */
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

/** A button. While `busy` it is announced as working, and a second press has no effect. */
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

/** A hint and the form's problem with a field: the ids that describe the field, and the paragraphs. */
function useDescription(name, hint) {
  const problem = useContext(Problems)[name];
  return {
    problem,
    ids: [hint && `${name}-hint`, problem && `${name}-refused`].filter(Boolean).join(" ") || null,
    hinted: hint && html`<p id=${`${name}-hint`} class="hint">${hint}</p>`,
    refused: problem && html`<p id=${`${name}-refused`} class="refused">${problem}</p>`,
  };
}

/** A labelled input. `hint` and the form's problem with this field are its description. */
export function Field({ name, label, hint, as = "input", class: kind = "", children, ...rest }) {
  const { problem, ids, hinted, refused } = useDescription(name, hint);
  const [shown, setShown] = useState(false);
  const secret = rest.type === "password";
  return html`<div class=${`field ${kind}`}>
    <label for=${name}>${label}</label>
    <div class="field-row">
      <${as}
        id=${name}
        name=${name}
        aria-invalid=${problem ? "true" : null}
        aria-describedby=${ids}
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
    ${hinted}${refused}
  </div>`;
}

/** Fields that belong together. A problem with the name of the group is shown at it. */
export function Group({ name, legend, hint, children }) {
  const { ids, hinted, refused } = useDescription(name, hint);
  return html`<fieldset name=${name} class="choices" aria-describedby=${ids}>
    <legend class="legend">${legend}</legend>
    ${hinted}${children}${refused}
  </fieldset>`;
}

/** A checkbox with its label. */
export function Check({ name, label, ...rest }) {
  return html`<label class="check"><input type="checkbox" name=${name} ...${rest} /><span>${label}</span></label>`;
}

/** A form. `send(values)` carries it out; a failure is shown at the field that it names, or above the button.
    `check(values)` returns {field: sentence} of all that must not be sent. The first field at fault takes the focus. */
export function Form({ send, check = () => ({}), label, working, kind = "primary", children, aside, ...rest }) {
  const [busy, setBusy] = useState(false);
  const [{ problems, refused }, setWrong] = useState({ problems: {}, refused: "" });
  const form = useRef(null);
  const alive = useAlive();

  useEffect(() => {
    const first = [...form.current.elements].find(({ name }) => Object.hasOwn(problems, name));
    if (!first) return;
    first.closest("details")?.setAttribute("open", ""); // a folded field cannot take the focus
    (first.matches("fieldset") ? first.querySelector("input") : first).focus();
  }, [problems]);

  function show(failure) {
    const field = (failure.field ?? "").split(".").pop();
    const isHere = form.current.elements.namedItem(field) !== null;
    const sentence = sentenceOf(failure);
    setWrong(isHere ? { problems: { [field]: sentence }, refused: "" } : { problems: {}, refused: sentence });
  }

  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    const values = Object.fromEntries(new FormData(form.current));
    const wrong = check(values);
    setWrong({ problems: wrong, refused: "" });
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    try {
      await send(values, form.current);
    } catch (failure) {
      if (alive.current) show(failure);
    } finally {
      if (alive.current) setBusy(false);
    }
  }

  return html`<form ref=${form} novalidate onSubmit=${submit} ...${rest}>
    <${Problems.Provider} value=${problems}>${children}<//>
    <div>
      <div role="alert">${refused && html`<p class="refused">${refused}</p>`}</div>
      <div class="actions">
        <${Button} type="submit" kind=${kind} busy=${busy}>${busy ? working : label}<//>
        ${aside}
      </div>
    </div>
  </form>`;
}

/** A ref that is true while the component is on the page: answers that arrive later are dropped. */
export function useAlive() {
  const alive = useRef(true);
  useEffect(() => () => (alive.current = false), []);
  return alive;
}

/** Load the data of a view. Returns {value, failure, loading, reload}; `value` stays while it is loaded again. */
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

/** The state of `useLoaded`: its value by `children(value)`, a wait, or a failure with a button to try again. With `keep`
    a value stays when it cannot be loaded again: what was entered in a form would be lost with it. */
export function Loaded({ of, children, keep = false, wait = SAID.loading }) {
  if (of.failure && of.failure.kind !== "ended" && !(keep && of.value !== null)) {
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

/** The place of a list without entries: its future content, and the next step. */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

/** A modal dialog. Escape and the button of `close` close it; the focus returns to the control that opened it. */
export function Dialog({ title, close, children }) {
  const dialog = useRef(null);
  useLayoutEffect(() => {
    const { current } = dialog;
    const opener = document.activeElement;
    current.showModal();
    return () => {
      current.close(); // before its removal: else the rest of the page stays inert, and takes no focus
      if (opener && opener.isConnected) opener.focus();
    };
  }, []);
  return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onCancel=${(event) => (event.preventDefault(), close())}>
    <h2 id="dialog-title">${title}</h2>
    ${children}
  </dialog>`;
}

/** A text to copy: a key, a command. `label` names it. */
export function Copy({ text, label, secret = false }) {
  const [done, setDone] = useState("");
  const shown = useRef(null);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setDone(SAID.copied);
    } catch {
      getSelection().selectAllChildren(shown.current); // no permission: select it for Ctrl+C
      setDone(SAID.selected);
    }
  }
  return html`<div class="copy">
    <pre ref=${shown} tabindex="0" role="group" aria-label=${label}><code translate="no" class=${secret ? "secret" : ""}>${text}</code></pre>
    <${Button} onClick=${copy}>${SAID.copy}<span class="unseen"> ${label}</span><//>
    <p class="copied" role="status">${done}</p>
  </div>`;
}

/** The link to the description of the service for programs. */
export function ApiInBrief() {
  return html`<a href=${addressOf("/llms.txt")} target="_blank" rel="noopener">${SAID.apiInBrief}</a>`;
}

/** A moment: the time since then, or with `exact` its date. The other one is the title. */
export function Time({ at, exact = false }) {
  return html`<time datetime=${at} title=${exact ? ago(at) : dateTime(at)}>${exact ? dateTime(at) : ago(at)}</time>`;
}
