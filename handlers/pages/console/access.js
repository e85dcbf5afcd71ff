// The forms without a session: sign up, log in, a new password, and the targets of links in mails. Opening a link
// changes nothing, since scanners open links too: each form sends on a press.

import { charactersIn } from "./formats.js";
import { keepSecret, keepUncopied } from "./keyring.js";
import { ApiInBrief, Button, Copy, Field, Form, Heading, Notice } from "./parts.js";
import { html, useEffect, useState } from "./preact.js";
import { addressOf } from "./router.js";
import { ACCESS } from "./texts.js";

const LEAST = 8;
const MOST = 128;

/** The problem with a new password, or "". */
export function passwordProblem(password) {
  if (!password) return ACCESS.noNewPassword;
  const length = charactersIn(password.normalize("NFC"));
  if (length < LEAST) return ACCESS.shortPassword;
  return length > MOST ? ACCESS.longPassword : "";
}

function emailProblem(email) {
  if (!email.trim()) return ACCESS.noEmail;
  return /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email.trim()) ? "" : ACCESS.badEmail;
}

/** The problems without the empty ones. */
export const only = (problems) => Object.fromEntries(Object.entries(problems).filter(([, problem]) => problem));

function EmailField(props) {
  return html`<${Field} name="email" label=${ACCESS.email} type="email" inputmode="email" autocomplete="username"
    autocapitalize="none" spellcheck="false" required ...${props} />`;
}

export function NewPasswordField({ name = "newPassword", label = ACCESS.newPassword, ...rest }) {
  return html`<${Field} name=${name} label=${label} type="password" autocomplete="new-password" minlength=${LEAST}
    required hint=${ACCESS.passwordHint} ...${rest} />`;
}

/** Raise the failure, reworded if it has this code, at the field at fault: the API's messages are for programs. */
function reworded(failure, code, message, field = "") {
  if (failure.code === code) Object.assign(failure, { message, field });
  throw failure;
}

/** `enter(user, apiKey)` begins the session; `mail` is a mail's {kind, token}, `note` the reason for this view. */
export function AccessView({ api, mail, note, enter, mailIsRead }) {
  const [way, setWay] = useState(mail ? mail.kind : "login");
  const [email, setEmail] = useState("");
  const [said, setSaid] = useState(note);

  function turn(next, sentence = "") {
    setWay(next);
    setSaid(sentence);
  }

  const Shown = { login: LogIn, signup: SignUp, forgot: Forgot, reset: Reset, verify: Verify }[way];
  const shared = { api, said, email, setEmail, turn, enter, mailIsRead, token: mail && mail.token };
  return html`<div class="access">
    ${said && html`<${Notice}><p id="said">${said}</p><//>`}
    <${Shown} key=${way} ...${shared} />
  </div>`;
}

function LogIn({ api, said, email, setEmail, turn, enter }) {
  async function send(values) {
    setEmail(values.email);
    const body = { email: values.email, password: values.password };
    const { user } = await api.post("/api/v1/auth/login", body).catch((failure) => reworded(failure, "UNAUTHORIZED", ACCESS.wrong));
    enter(user);
  }
  const check = ({ email: given, password }) => only({ email: emailProblem(given), password: password ? "" : ACCESS.noPassword });
  return html`<${Heading} aria-describedby=${said ? "said" : null}>${ACCESS.logIn}<//>
    <p class="claim">${ACCESS.claim}</p>
    <${Form} send=${send} check=${check} label=${ACCESS.logIn} working=${ACCESS.loggingIn} aria-label=${ACCESS.logIn}>
      <${EmailField} defaultValue=${email} />
      <${Field} name="password" label=${ACCESS.password} type="password" autocomplete="current-password" required />
    <//>
    <p class="ways"><${Button} kind="link" onClick=${() => turn("forgot")}>${ACCESS.toForgot}<//></p>
    <div class="other-way"><p>${ACCESS.toSignUp}</p><${Button} onClick=${() => turn("signup")}>${ACCESS.signUp}<//></div>`;
}

function SignUp({ api, email, setEmail, turn, enter }) {
  async function send(values) {
    setEmail(values.email);
    const body = { email: values.email, password: values.password };
    const { user, apiKey } = await api
      .post("/api/v1/auth/signup", body)
      .catch((failure) => reworded(failure, "CONFLICT", ACCESS.taken, "email"));
    enter(user, apiKey);
  }
  const check = ({ email: given, password }) => only({ email: emailProblem(given), password: passwordProblem(password) });
  return html`<${Heading}>${ACCESS.signUp}<//>
    <p class="claim">${ACCESS.claim}</p>
    <${Form} send=${send} check=${check} label=${ACCESS.signUp} working=${ACCESS.signingUp} aria-label=${ACCESS.signUp}>
      <${EmailField} defaultValue=${email} />
      <${NewPasswordField} name="password" label=${ACCESS.password} />
    <//>
    <div class="other-way"><p>${ACCESS.toLogIn}</p><${Button} onClick=${() => turn("login")}>${ACCESS.logIn}<//></div>`;
}

function Forgot({ api, email, setEmail, turn }) {
  const [sentTo, setSentTo] = useState("");
  async function send(values) {
    setEmail(values.email);
    await api.post("/api/v1/auth/forgot-password", { email: values.email });
    setSentTo(values.email.trim());
  }
  const back = html`<${Button} kind="link" onClick=${() => turn("login")}>${ACCESS.backToLogIn}<//>`;
  if (sentTo) {
    return html`<${Heading}>${ACCESS.linkSent}<//>
      <p role="status">${ACCESS.linkSentTo(sentTo)}</p>
      <p class="ways">${back}</p>`;
  }
  return html`<${Heading}>${ACCESS.forgot}<//>
    <p>${ACCESS.forgotHint}</p>
    <${Form} send=${send} check=${({ email: given }) => only({ email: emailProblem(given) })} label=${ACCESS.sendLink}
      working=${ACCESS.sendingLink} aria-label=${ACCESS.forgot} aside=${back}>
      <${EmailField} defaultValue=${email} />
    <//>`;
}

function Reset({ api, token, turn }) {
  const [over, setOver] = useState(false);
  async function send({ newPassword }) {
    try {
      const { message } = await api.post("/api/v1/auth/reset-password", { token, newPassword });
      turn("login", `${message}.`); // the message may mention revoked keys
    } catch (failure) {
      if (failure.field !== "token") throw failure;
      setOver(true);
    }
  }
  if (over) return html`<${LinkOver} next=${() => turn("forgot")} label=${ACCESS.askNew} />`;
  return html`<${Heading}>${ACCESS.reset}<//>
    <p>${ACCESS.resetHint}</p>
    <${Form} send=${send} check=${({ newPassword }) => only({ newPassword: passwordProblem(newPassword) })}
      label=${ACCESS.setPassword} working=${ACCESS.settingPassword} aria-label=${ACCESS.reset}>
      <${NewPasswordField} />
    <//>`;
}

function Verify({ api, token, mailIsRead }) {
  const [end, setEnd] = useState("");
  async function send() {
    try {
      await api.post("/api/v1/auth/verify-email", { token });
      setEnd("done");
    } catch (failure) {
      if (failure.field !== "token") throw failure;
      setEnd("over");
    }
  }
  if (end === "over") return html`<${LinkOver} next=${mailIsRead} label=${ACCESS.goOn} />`;
  if (end === "done") {
    return html`<${Heading}>${ACCESS.verified}<//>
      <div class="actions"><${Button} kind="primary" onClick=${mailIsRead}>${ACCESS.goOn}<//></div>`;
  }
  return html`<${Heading}>${ACCESS.verify}<//>
    <p>${ACCESS.verifyHint}</p>
    <${Form} send=${send} label=${ACCESS.confirm} working=${ACCESS.confirming} aria-label=${ACCESS.verify} />`;
}

function LinkOver({ next, label }) {
  return html`<${Heading}>${ACCESS.linkOver}<//>
    <p>${ACCESS.linkOverHint}</p>
    <div class="actions"><${Button} kind="primary" onClick=${next}>${label}<//></div>`;
}

/** The first call of an owner, for a terminal: it runs unchanged. */
export function firstCall(key) {
  return [
    `curl -s ${addressOf("/api/v1/memo")} \\`,
    `  -H "Authorization: Bearer ${key}" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d '{"text": "Hello, world", "voice": "rachel"}'`,
  ].join("\n");
}

/** The first key, shown once. */
export function FirstKey({ user, apiKey, done }) {
  useEffect(() => (keepSecret(apiKey), keepUncopied(apiKey)), []);
  const copied = () => (keepUncopied(null), done());
  return html`<div class="first">
    <${Heading}>${ACCESS.first}<//>
    <p>${ACCESS.mailSent(user.email)}</p>
    <h2>${ACCESS.firstKey}</h2>
    <p>${ACCESS.keepKey}</p>
    <${Copy} text=${apiKey.key} label=${ACCESS.firstKey} secret />
    <h2>${ACCESS.firstCall}</h2>
    <p>${ACCESS.firstCallHint} <code>audio.url</code>.</p>
    <${Copy} text=${firstCall(apiKey.key)} label=${ACCESS.command} />
    <p><${ApiInBrief} /></p>
    <div class="actions"><${Button} kind="primary" onClick=${copied}>${ACCESS.kept}<//></div>
  </div>`;
}
