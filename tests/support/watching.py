"""A running Prometheus with our rules, whose alerts fire at once: how long causes must last is tested with promtool."""

import contextlib
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from support.ports import free_port
from support.prometheus import TOP, program


def filled(query: str, chosen: Mapping[str, str]) -> str:
    """Return a query of a dashboard with its variables put in."""
    return re.sub(r"\$(\w+)", lambda name: chosen[name[1]], query)


class Prometheus:
    """A running Prometheus over a directory of the test."""

    def __init__(self, directory: Path, targets: list[int]) -> None:
        self.port = free_port()
        rules = yaml.safe_load((TOP / "manifests/monitoring/rules.yaml").read_text())["spec"]
        for group in rules["groups"]:
            for rule in (rule for rule in group["rules"] if "alert" in rule):
                rule["for"] = "0s"  # how long it must last is tested with promtool
        (directory / "rules.yaml").write_text(yaml.safe_dump(rules))
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": "directpv", "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in targets]}]}
            ],
        }
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
        argv = (
            program("prometheus"),
            f"--config.file={directory}/prometheus.yaml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )
        self.log = directory / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def ask(self, path: str, **query: object) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{query}: {error.read().decode()}") from None
        except OSError as error:
            raise AssertionError(f"Prometheus does not answer: {error}\n{self.log.read_text()[-2000:]}") from None

    def shown(self, query: str, since: float) -> bool:
        """Tell whether a panel with that query shows a figure of the time since then."""
        data = self.ask("query_range", query=query, start=since, end=time.time(), step=1)
        return any(value != "NaN" for series in data["result"] for _, value in series["values"])

    def chosen(self, board: Any, **by_hand: str) -> dict[str, str]:
        """Return what the variables of a dashboard stand for when people choose so, as Grafana puts it into queries.

        Raises:
            AssertionError: A choice is none of those that the dashboard offers.
        """
        found: dict[str, str] = {}
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            selector, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            offered = self.ask(f"label/{label}/values", **{"match[]": filled(selector, found)})
            if variable.get("hide"):
                found[variable["name"]] = "|".join(re.escape(each).replace("\\", "\\\\") for each in offered)
            else:
                assert by_hand[variable["name"]] in offered, f"{variable['name']}: {offered}"
                found[variable["name"]] = by_hand[variable["name"]]
        return found

    def firing(self) -> set[str]:
        return {a["labels"]["alertname"] for a in self.ask("alerts")["alerts"] if a["state"] == "firing"}


@contextlib.contextmanager
def prometheus(directory: Path, targets: list[int]) -> Iterator[Prometheus]:
    running = Prometheus(directory, targets)
    try:
        yield running
    finally:
        running.close()
