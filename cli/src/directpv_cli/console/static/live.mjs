// Parts of a page with the attribute data-live are replaced by what the server says of them, one request per change.

const SILENT_MS = 12_000; // the server's beat is 5 s

const GRACE_MS = 3_000; // to connect again
let heard = { age: 0, at: 0, beat: performance.now() };
let asking = false;
let again = false;

/** Follow the changes that this page is about. */
export function follow({ root, topics, count }) {
  let first = true;
  const own = topics.split(" ");
  noteAge();
  document.body.classList.add("alive");
  setInterval(tick, 1000);
  listen(`${root}static/listener.js`, `${root}live`, (facts) => {
    if (!facts) {
      heard.beat = Math.min(heard.beat, performance.now() - SILENT_MS + GRACE_MS);
      return;
    }
    const missed = first && facts.count > Number(count); // between the making of this page and now
    if (!first || missed) {
      heard = { age: facts.age, at: performance.now(), beat: performance.now() };
      say(facts);
    }
    first = false;
    tick();
    if (missed || facts.topics.some((topic) => own.includes(topic))) refresh();
  });
}

/** Hear the stream by one connection for all pages: browsers open no more than six to one server. */
function listen(script, stream, told) {
  if (!window.SharedWorker) {
    const source = new EventSource(stream);
    source.onmessage = (event) => told(JSON.parse(event.data));
    source.onerror = () => told(null);
    return;
  }
  const worker = new SharedWorker(script, { name: stream });
  worker.onerror = () => told(null);
  worker.port.onmessage = (event) => told(event.data);
  worker.port.start();
  addEventListener("pagehide", () => worker.port.postMessage("gone"));
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

/** Ask for this page again, and put what changed in its place; what comes meanwhile is asked for once, after it. */
export async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // the age on the page says it
  } finally {
    asking = false;
  }
  if (again) {
    again = false;
    setTimeout(refresh, 100);
  }
}

function replace(page) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (!fresh || fresh.isEqualNode(part)) continue;
    if (part.id === "age") continue; // it changes by itself
    keepingPlace(part, fresh);
  }
  const age = page.getElementById("age");
  if (age) heard = { age: Number(age.dataset.age), at: performance.now(), beat: heard.beat };
  tick();
}

/** Replace a part; what had the focus or was ticked in it has it afterwards. */
function keepingPlace(part, fresh) {
  const key = keyOf(document.activeElement, part);
  const ticked = new Set([...part.querySelectorAll("input:checked")].map((box) => box.value));
  const node = document.importNode(fresh, true);
  for (const box of node.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
  part.replaceWith(node);
  if (key) node.querySelector(key)?.focus({ preventScroll: true });
}

function keyOf(element, part) {
  if (!element || !part.contains(element)) return "";
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.getAttribute("href")) return `[href="${CSS.escape(element.getAttribute("href"))}"]`;
  if (element.value && element.name) return `[name="${CSS.escape(element.name)}"][value="${CSS.escape(element.value)}"]`;
  return "";
}

function noteAge() {
  const age = document.getElementById("age");
  heard = { age: Number(age.dataset.age), at: performance.now(), beat: performance.now() };
}

/** Say at the top of the page how all is. */
function say({ level, word, staleAfter }) {
  const verdict = document.getElementById("verdict");
  verdict.dataset.staleAfter = staleAfter;
  if (verdict.dataset.level === level && verdict.querySelector("strong").textContent === word) return;
  verdict.dataset.level = level;
  verdict.className = `verdict ${level}`;
  verdict.querySelector("strong").textContent = word;
}

/** Show how old the picture is; what is too old is red, whatever it said. */
function tick() {
  const now = performance.now();
  const age = heard.age + (now - heard.at) / 1000;
  const line = document.getElementById("age");
  const verdict = document.getElementById("verdict");
  const since = line.querySelector(".since");
  const said = words(age);
  if (since.textContent !== said) since.textContent = said;
  const lost = now - heard.beat > SILENT_MS;
  const stale = lost || age > Number(verdict.dataset.staleAfter);
  line.classList.toggle("stale", stale);
  if (stale && verdict.dataset.level !== "stale") {
    say({ level: "stale", word: `Not heard for ${words(age)}`, staleAfter: verdict.dataset.staleAfter });
  }
  const notice = document.getElementById("lost");
  if (notice.hidden === lost) {
    notice.hidden = !lost;
    notice.textContent = lost ? "The console has ended, or cannot be reached: what is shown is old. Start it again." : "";
  }
}

function words(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole}s`;
  if (whole < 7200) return `${Math.floor(whole / 60)}m`;
  return `${Math.floor(whole / 3600)}h`;
}
