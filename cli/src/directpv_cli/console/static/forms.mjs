// Forms that change something are sent by the page itself, so that the browser says which page asks.

let byKeyboard = false;

/** Send forms with the attribute data-send; what comes back leads on, or is shown in the form. */
export function forms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.send === undefined) return;
    event.preventDefault();
    send(form, event.submitter);
  });
  document.addEventListener("change", (event) => {
    if (event.target.dataset.all !== undefined) {
      const boxes = document.querySelectorAll(`input[name="${CSS.escape(event.target.dataset.all)}"]`);
      for (const box of boxes) box.checked = event.target.checked && box.dataset.alone === undefined;
    } else if (event.target.dataset.now !== undefined && !byKeyboard) {
      event.target.form.requestSubmit(); // keys choose one after the other: theirs is the button
    }
  });
  document.addEventListener("pointerdown", () => (byKeyboard = false), true);
  document.addEventListener("keydown", (event) => {
    byKeyboard = true;
    if (event.key === "Enter" && event.target.matches("form[data-send] input")) entered(event);
    const typing = event.target.matches("input, select, textarea");
    const filter = document.querySelector("input[type=search]");
    if (event.key === "/" && !typing && filter && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      filter.focus();
    }
  });
}

/** Enter in a field does what the field is for; where a form can do several things, nothing that nobody chose. */
function entered(event) {
  const form = event.target.form;
  if (form.querySelectorAll("button").length < 2) return;
  event.preventDefault();
  const own = event.target.dataset.enter && form.querySelector(`button[value="${CSS.escape(event.target.dataset.enter)}"]`);
  if (own) form.requestSubmit(own);
}

async function send(form, submitter) {
  const said = form.querySelector("[role=alert]");
  const focused = document.activeElement;
  const buttons = [...form.querySelectorAll("button")].filter((button) => !button.disabled);
  const body = new URLSearchParams(new FormData(form, submitter)); // before buttons are disabled: these say nothing
  said.textContent = "";
  form.setAttribute("aria-busy", "true");
  for (const button of buttons) button.disabled = true;
  const facts = await answered(submitter?.getAttribute("formaction") ?? form.getAttribute("action"), body);
  if (facts.location) {
    location.assign(facts.location);
    return;
  }
  said.textContent = facts.error;
  form.removeAttribute("aria-busy");
  for (const button of buttons) button.disabled = false;
  (form.querySelector("[name=typed]") ?? focused).focus(); // a button that was disabled has lost it
}

/** Return where it leads, or why it does not. */
async function answered(address, body) {
  try {
    const answer = await fetch(address, { method: "POST", body });
    if (answer.status === 403) return { error: `Refused, and nothing was done: ${await answer.text()}` };
    return await answer.json();
  } catch {
    return { error: "The console cannot be reached; nothing is known of what became of this." };
  }
}
