// Parts of a page with the attribute data-live become what the server says of them, one request per change.
import { patch } from "./patch.mjs";

const SILENT_MS = 12_000; // the server's beat is 5 s
const GRACE_MS = 3_000; // to connect again
const OLDEST_MS = 10_000; // ages stand on every page: a page of which nothing changed is asked for again all the same
const ANSWER_MS = 30_000;
let heard = { age: 0, at: 0, beat: performance.now() };
let title = "";
let asking = false;
let again = false;
let asked = performance.now();
let refused = ""; // why the page could not be asked for again
let absent = false; // what the page is about is not there

/** Follow the changes that this page is about. */
export function follow({ root, topics, count, title: own }) {
  let first = true;
  title = own;
  absent = document.querySelector("[data-absent]") !== null;
  const about = topics.split(" ");
  noteAge();
  document.body.classList.add("alive");
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", () => again && refresh());
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
    const old = topics !== "none" && performance.now() - asked > OLDEST_MS;
    const news = missed || facts.topics.some((topic) => about.includes(topic));
    if (old || (news && !absent)) refresh();
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

/** Ask for this page again; what comes meanwhile is asked for once, after it, and what nobody sees when it is seen. */
export async function refresh() {
  again = asking || document.hidden;
  if (again) return;
  asking = true;
  asked = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(ANSWER_MS) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    refused = answer.ok || absent || answer.status === 404 ? "" : `the console answers ${answer.status}`;
    if (answer.ok && absent) location.reload();
    else if (answer.ok) replace(page);
    else if (answer.status === 404 && !absent) replaceAll(page);
  } catch {
    refused = "the console does not answer";
  } finally {
    asking = false;
  }
  tick();
  if (again) setTimeout(refresh, 100);
}

function replace(page) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (fresh && part.id !== "age") patch(part, fresh); // the age changes by itself
  }
  const age = page.getElementById("age");
  if (age) heard = { age: Number(age.dataset.age), at: performance.now(), beat: heard.beat };
}

/** What the page was about is gone: show what the server says instead. */
function replaceAll(page) {
  const main = document.getElementById("main");
  const within = main.contains(document.activeElement);
  absent = true;
  title = page.body.dataset.title;
  main.replaceChildren(...document.importNode(page.getElementById("main"), true).childNodes);
  if (within) main.focus({ preventScroll: true });
  entitle();
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

/** Say it also where tabs are chosen. */
function entitle() {
  const { level } = document.getElementById("verdict").dataset;
  const word = level === "stale" ? "Not heard" : document.querySelector("#verdict strong").textContent;
  const said = level === "well" ? title : `${word} · ${title}`;
  if (document.title !== said) document.title = said;
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
  entitle();
  notice(lost ? "The console has ended, or cannot be reached: what is shown is old. Start it again." : old());
}

function old() {
  return refused && `What is shown below is old: ${refused}. It is asked again; reload the page if this stays.`;
}

function notice(text) {
  const line = document.getElementById("lost");
  line.hidden = !text;
  if (line.textContent !== text) line.textContent = text;
}

function words(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole}s`;
  if (whole < 7200) return `${Math.floor(whole / 60)}m`;
  return `${Math.floor(whole / 3600)}h`;
}
