// Forms that change something are sent by the page itself, so that the browser says which page asks.

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
    } else if (event.target.dataset.now !== undefined) {
      event.target.form.requestSubmit();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea");
    const filter = document.querySelector("input[type=search]");
    if (event.key === "/" && !typing && filter && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      filter.focus();
    }
  });
}

async function send(form, submitter) {
  const said = form.querySelector("[role=alert]");
  const buttons = [...form.querySelectorAll("button")].filter((button) => !button.disabled);
  const body = new URLSearchParams(new FormData(form, submitter)); // before buttons are disabled: these say nothing
  if (said) said.textContent = "";
  for (const button of buttons) button.disabled = true;
  try {
    const answer = await fetch(submitter?.getAttribute("formaction") ?? form.getAttribute("action"), { method: "POST", body });
    const facts = await answer.json();
    if (answer.ok) {
      location.assign(facts.location);
      return;
    }
    if (said) said.textContent = facts.error;
  } catch {
    if (said) said.textContent = "The console cannot be reached; nothing is known of what became of this.";
  }
  for (const button of buttons) button.disabled = false;
}
