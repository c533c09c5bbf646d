"""The console without a browser: a client that has come in by the token, and asks as the pages' script asks."""

import http.client
import re
from typing import Final
from urllib.parse import urlencode

WITHIN: Final = 30.0


class Inside:
    """A console whose token was used."""

    def __init__(self, url: str) -> None:
        """``url``: as the console printed it."""
        self._port = int(url.split(":")[2].split("/")[0])
        self._cookie = ""
        headers, _ = self._ask("GET", url.partition(str(self._port))[2])
        self._cookie, path, *_ = headers["set-cookie"].split("; ")
        self.root = path.removeprefix("Path=")

    def _ask(self, method: str, path: str, body: str = "") -> tuple[dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=WITHIN)
        headers = {"Cookie": self._cookie, "Origin": f"http://127.0.0.1:{self._port}"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return {key.lower(): value for key, value in answer.getheaders()}, text
        finally:
            connection.close()

    def page(self, path: str) -> str:
        """Return the text of a page, by its whole path."""
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", self._ask("GET", path)[1]))

    def sent(self, path: str, *fields: tuple[str, str]) -> str:
        """Send a form as the page's script does; return the page that it leads to."""
        answer = self._ask("POST", path, urlencode(fields))[1]
        return str(re.search(r'"location":\s*"([^"]+)"', answer)[1])  # type: ignore[index]

    def planned(self, action: str, *targets: str) -> str:
        """Ask for a plan to do this to these targets; return its page."""
        return self.sent(f"{self.root}plans", ("action", action), *(("target", name) for name in targets))
