// Secrets of keys that this tab has seen: a key is shown once, and a memo is made by a key. They live in the tab's
// memory alone, until it is reloaded, closed, or logged out.

let secrets = [];

let uncopied = null; // a fresh key that was shown, and that its owner has not copied yet

export const uncopiedKey = () => uncopied;

/** Keep what is shown only once, until null takes its place. Until then the browser asks before the page is left. */
export function keepUncopied(fresh) {
  uncopied = fresh;
  window[fresh ? "addEventListener" : "removeEventListener"]("beforeunload", askBeforeLeaving);
}

const askBeforeLeaving = (event) => event.preventDefault();

/** Keep a fresh key: {id, key, name}. */
export function keepSecret({ id, key, name }) {
  secrets = [{ id, key, name }, ...secrets.filter((kept) => kept.id !== id)];
}

/** The keys kept, newest first. */
export const keptSecrets = () => secrets;

export function dropSecret(id) {
  secrets = secrets.filter((kept) => kept.id !== id);
}

export function forgetSecrets() {
  secrets = [];
  keepUncopied(null);
}
