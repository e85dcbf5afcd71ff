// Secrets of keys that this tab has seen: a key is shown once, and a memo is made by a key. They live in the tab's
// memory alone, until it is reloaded, closed, or logged out.

let secrets = [];

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
}
