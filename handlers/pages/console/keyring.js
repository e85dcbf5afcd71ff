// The secrets of keys that this tab has shown: a secret is shown once, and making a memo needs one. The tab's memory
// alone has them, until it is reloaded or closed, or the owner logs out.

let secrets = [];

let uncopied = null; // a new key that was shown, but not copied yet

export const uncopiedKey = () => uncopied;

/** Keep a key that is shown only once, until null replaces it. Until then the browser asks before leaving the page. */
export function keepUncopied(fresh) {
  uncopied = fresh;
  window[fresh ? "addEventListener" : "removeEventListener"]("beforeunload", askBeforeLeaving);
}

const askBeforeLeaving = (event) => event.preventDefault();

/** Keep a new key: {id, key, name}. */
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
