/*
 * The one script of Sekisho's pages. It does what HTML alone cannot: it asks
 * the browser for a passkey (W3C Web Authentication Level 3) and puts the
 * answer into the form that the question stands in, and it lets a clock run on.
 * It fetches nothing and knows nothing; every word it shows came with the page.
 *
 *   <form data-passkey="get|create"  what is asked for
 *         data-ask="{…}"             the options, as JSON
 *         data-offer                 also offer it where the name is typed
 *         data-fresh="/signin?…"     where the same page is, asking anew
 *         data-…="…">                what to say when it fails
 *
 *   <span data-left="…"              seconds that were left when the page was made
 *         data-over="…">             what stands there when none are
 */
(() => {
  "use strict";

  const opened = Date.now();
  let offered = null; // stops the question that waits behind the name's field

  /* A question is good for a while (its timeout); an answer to a dead one would
     be refused, and a new key made for it would be a key to nothing. */
  const ends = (ask) => opened + (ask.timeout || 300000);

  function able(kind) {
    const parse = kind === "create" ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
    return window.PublicKeyCredential && navigator.credentials && typeof PublicKeyCredential[parse] === "function";
  }

  function question(kind, ask) {
    return kind === "create"
      ? { publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(ask) }
      : { publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(ask) };
  }

  function answer(form, credential) {
    form.elements.credential.value = JSON.stringify(credential);
    HTMLFormElement.prototype.submit.call(form);
  }

  /* What went wrong is said beside the button, where the reader is looking, and
     the form can be used again. */
  function tell(form, says) {
    const told = form.querySelector(".told");
    told.textContent = says;
    told.hidden = false;
    told.focus();
  }

  function meaning(form, error) {
    switch (error && error.name) {
      case "NotAllowedError": // also when the person took too long, or the key was not there
      case "AbortError":
        return form.dataset.cancelled;
      case "InvalidStateError":
        return form.dataset.exists;
      case "NotSupportedError":
      case "ConstraintError":
        return form.dataset.unable;
    }
    return form.dataset.failed;
  }

  function busy(button, is) {
    is ? button.setAttribute("aria-busy", "true") : button.removeAttribute("aria-busy");
  }

  async function press(form, ask) {
    const kind = form.dataset.passkey, button = form.querySelector("button");
    if (button.hasAttribute("aria-busy")) return;
    form.querySelector(".told").hidden = true;
    if (!able(kind)) return tell(form, form.dataset.unable);
    if (Date.now() > ends(ask)) return location.assign(form.dataset.fresh);
    if (offered) offered.abort(); // a browser asks one question at a time
    busy(button, true);
    try {
      answer(form, kind === "create"
        ? await navigator.credentials.create(question(kind, ask))
        : await navigator.credentials.get(question(kind, ask)));
    } catch (error) {
      busy(button, false);
      tell(form, meaning(form, error));
    }
  }

  /* Offers the reader's passkeys where the name is typed. Nothing is shown when
     there are none, and nothing is said when the offer is not taken. */
  async function offer(form, ask) {
    if (!able("get") || !PublicKeyCredential.isConditionalMediationAvailable) return;
    if (!await PublicKeyCredential.isConditionalMediationAvailable()) return;
    offered = new AbortController();
    setTimeout(() => offered.abort(), ends(ask) - Date.now());
    try {
      answer(form, await navigator.credentials.get({ ...question("get", ask), mediation: "conditional", signal: offered.signal }));
    } catch {
      /* Not taken, replaced by the button, or too old. */
    }
  }

  function untouched() {
    return [...document.querySelectorAll("input:not([type=hidden])")].every((i) => i.value === i.defaultValue);
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const ask = JSON.parse(form.dataset.ask);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      press(form, ask);
    });
    if (!form.hasAttribute("data-offer")) continue;
    offer(form, ask);
    /* A page left open in the background is opened anew when its reader comes
       back, unless they have begun to type. */
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && Date.now() > ends(ask) && untouched()) location.replace(form.dataset.fresh);
    });
  }

  /* What was left when the page came runs down. The end itself is the gate's to
     say: a clock that is wrong changes nothing but what is shown. */
  const clocks = [...document.querySelectorAll("[data-left]")];
  const two = (n) => String(n).padStart(2, "0");
  function tick() {
    for (const c of clocks) {
      const left = Math.max(0, c.dataset.left - Math.floor((Date.now() - opened) / 1000));
      c.textContent = left ? `${Math.floor(left / 3600)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}` : c.dataset.over;
    }
  }
  if (clocks.length) setInterval(tick, 1000);

  /* Back from the page that followed: the button works again. */
  addEventListener("pageshow", () => document.querySelectorAll("button[aria-busy]").forEach((b) => busy(b, false)));
})();
