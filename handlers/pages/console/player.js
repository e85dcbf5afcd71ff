// A memo's audio: the browser's own player, which works with keyboards and screen readers. Audio is loaded when played.

import { Button, useAlive } from "./parts.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { MEMO_SAID } from "./texts-memos.js";

/** Milliseconds before each request of a memo whose audio is being made. The last wait is repeated. */
const LOOK_AFTER_MS = [1_500, 2_500, 4_000, 6_000, 10_000, 15_000, 30_000];

/** Requests until the page stops by itself: some ten minutes, and audio takes seconds. */
const MOST_LOOKS = 24;

let playing = null;

/** Pause the other player: one memo plays at a time. */
function silenceOthers(audio) {
  if (playing !== null && playing !== audio) playing.pause();
  playing = audio;
}

export function Player({ url, name }) {
  const [isBroken, setBroken] = useState(false);
  return html`<div class="player">
    <audio controls preload="none" src=${url} aria-label=${MEMO_SAID.play(name)} onPlay=${(event) => silenceOthers(event.target)}
      onPlaying=${() => setBroken(false)} onError=${() => setBroken(true)}></audio>
    <p role="alert">${isBroken && html`<span class="refused">${MEMO_SAID.noAudio}</span>`}</p>
  </div>`;
}

/** A button that plays a voice's sample, or stops it. */
export function SampleButton({ voice }) {
  const [state, setState] = useState("silent");
  const audio = useRef(null);
  const stop = () => audio.current?.pause();
  useEffect(() => (setState("silent"), stop), [voice.id]);

  async function press() {
    if (state === "playing") return stop();
    audio.current = Object.assign(new Audio(voice.sampleUrl), {
      onplay: () => (silenceOthers(audio.current), setState("playing")),
      onpause: () => setState("silent"),
    });
    await audio.current.play().catch((error) => error.name === "AbortError" || setState("broken"));
  }

  return html`<${Button} onClick=${press}>${state === "playing" ? MEMO_SAID.stop : MEMO_SAID.hear}<span class="unseen"> ${voice.name}</span><//>
    <p role="alert" class="sample-said">${state === "broken" && html`<span class="refused">${MEMO_SAID.noSample}</span>`}</p>`;
}

/** Shown in place of a player while audio is being made. `look()` requests the memo again; its owner redraws it. */
export function BeingMade({ look }) {
  const [stopped, setStopped] = useState(false);
  const alive = useAlive();

  useEffect(() => {
    if (stopped) return undefined;
    let timer = null;
    let looks = 0;
    const later = (ms) => (timer = setTimeout(ask, ms));
    const pause = () => LOOK_AFTER_MS[Math.min(looks, LOOK_AFTER_MS.length - 1)];
    async function ask() {
      looks += 1;
      if (looks > MOST_LOOKS) return setStopped(true);
      if (document.hidden) return later(pause()); // send no request for a hidden page
      try {
        await look();
      } catch (failure) {
        if (failure.kind === "missing" || failure.kind === "ended") return undefined;
        if (alive.current) later(Math.max(pause(), (failure.retryAfter ?? 0) * 1000));
        return undefined;
      }
      if (alive.current) later(pause());
      return undefined;
    }
    later(LOOK_AFTER_MS[0]);
    return () => clearTimeout(timer);
  }, [stopped]);

  if (!stopped) return html`<p class="making"><span class="spinner" aria-hidden="true"></span>${MEMO_SAID.processing}</p>`;
  return html`<p class="making">${MEMO_SAID.processingLong}<${Button} kind="small" onClick=${() => setStopped(false)}>${MEMO_SAID.lookAgain}<//></p>`;
}
