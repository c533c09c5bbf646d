"""What people have in hand stays theirs while the page changes below it; asked of the script alone, without a stack."""

from pathlib import Path

from playwright.sync_api import Browser

import directpv_cli.console

PATCH = Path(directpv_cli.console.__file__).parent / "static/patch.mjs"
SEEDS = 300
RANDOM_TREES = """async (seeds) => {
  let seed = 1;
  const chance = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const tree = (depth, tag) => {
    const made = document.createElement(tag);
    if (chance(2)) made.className = `c${chance(3)}`;
    const keys = new Set();
    for (let left = chance(5); left > 0; left -= 1) {
      if (depth === 0 || chance(3) === 0) made.append(`t${chance(4)}`);
      else {
        const child = tree(depth - 1, ["div", "p", "li"][chance(3)]);
        const key = `k${chance(6)}`;
        if (chance(2) && !keys.has(key)) child.dataset.key = key;
        keys.add(child.dataset.key);
        made.append(child);
      }
    }
    made.normalize();
    return made;
  };
  const wrong = [];
  for (let round = 1; round <= seeds; round += 1) {
    seed = round;
    const part = tree(3, "section"), fresh = tree(3, "section");
    document.body.replaceChildren(part);
    const before = new Map([...part.children].map((each) => [each.dataset.key, each]));
    window.patch(part, fresh);
    const same = [...part.children].filter((each) => each.dataset.key && before.has(each.dataset.key));
    const kept = same.every((each) => before.get(each.dataset.key).nodeName !== each.nodeName
      || before.get(each.dataset.key) === each);
    if (!part.isEqualNode(fresh) || !kept) wrong.push(round);
  }
  return wrong;
}"""
ROWS = """() => {
  const row = (key, age) => `<tr data-key="${key}"><td><input type="checkbox" value="${key}"></td>`
    + `<td><a href="#${key}">${key}</a></td><td class="id">id-${key}</td><td>${age}</td></tr>`;
  const table = (keys, age) => {
    const part = document.createElement("section");
    part.innerHTML = `<div class="scroll" style="width:40px;overflow:auto"><table><tbody>\\n`
      + keys.map((key) => row(key, age)).join("\\n") + "</tbody></table></div>";
    return part;
  };
  const part = table(["a", "b", "c", "d"], "1s");
  document.body.replaceChildren(part);
  part.querySelector("[value=c]").checked = true;
  part.querySelector("[href='#b']").focus();
  part.querySelector(".scroll").scrollLeft = 17;
  getSelection().selectAllChildren(part.querySelectorAll(".id")[2]);
  const seen = () => [document.activeElement.textContent, part.querySelector(".scroll").scrollLeft,
    [...part.querySelectorAll("input")].filter((each) => each.checked).map((each) => each.value).join()];
  const said = [];
  for (const keys of [["a", "b", "c", "d"], ["new", "a", "b", "c", "d"], ["b", "c"], ["c", "x", "b"], ["b", "c"]]) {
    window.patch(part, table(keys, "2s"));
    said.push([...seen(), String(getSelection())]);
  }
  return said;
}"""


def test_a_part_becomes_what_the_server_says_and_what_has_a_key_stays_with_it(browser: Browser) -> None:
    page = browser.new_page()
    page.add_script_tag(type="module", content=f"{PATCH.read_text()}\nwindow.patch = patch;")
    page.wait_for_function("Boolean(window.patch)")
    assert page.evaluate(RANDOM_TREES, SEEDS) == []
    for focused, scrolled, ticked, selected in page.evaluate(ROWS)[:3]:
        assert (focused, scrolled, ticked, selected) == ("b", 17, "c", "id-c")
    for said in page.evaluate(ROWS)[3:]:
        assert said[:3] == ["b", 17, "c"]  # also where rows change their places
    page.close()
