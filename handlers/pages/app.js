"use strict";
// Links of mails end here, with a token in the fragment. Opening one changes nothing, since scanners open links too: each
// form posts on a click. The token leaves the address bar at once, so that it stays in no history.

const [kind, token] = location.hash.slice(1).split("=");
const form = document.getElementById(token && ["reset", "verify"].includes(kind) ? kind : "forgot");
if (location.hash) history.replaceState(null, "", location.pathname);

const OVER = "This link is not good any more: it works once, and for a limited time. Ask for a new one.";

const requests = {
  reset: () => ["reset-password", { token, newPassword: document.getElementById("password").value }],
  verify: () => ["verify-email", { token }],
  forgot: () => ["forgot-password", { email: document.getElementById("email").value }],
};

async function post(path, body) {
  const answer = await fetch(`api/v1/auth/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    credentials: "omit",
  });
  const json = await answer.json();
  if (answer.ok) return json.message;
  const { message, details } = json.error;
  throw new Error(details && details.field === "token" ? OVER : message);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = form.querySelector(".said");
  const button = form.querySelector("button");
  said.textContent = "";
  button.disabled = true;
  try {
    const message = await post(...requests[form.id]());
    const done = document.getElementById("done");
    done.textContent = `${message}.`;
    done.hidden = false;
    form.hidden = true;
    done.focus();
  } catch (problem) {
    said.textContent = problem instanceof TypeError ? "The service cannot be reached. Please try again." : problem.message;
  } finally {
    button.disabled = false;
  }
});

form.hidden = false;
