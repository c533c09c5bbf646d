"""Where the leader's orders leave their traces on a drive."""

from pathlib import Path

from integration.nodeagent.harness import AgentProcess

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def path_of(agent: AgentProcess, drive: str) -> Path:
    return agent.root / "mnt" / drive


def record_file(agent: AgentProcess, drive: str, name: str) -> Path:
    return path_of(agent, drive) / ".directpv/volumes" / f"{name}.json"


def mark(agent: AgentProcess, drive: str, kind: str, name: str) -> Path:
    path = path_of(agent, drive) / ".directpv" / kind
    path.mkdir(exist_ok=True)
    return path / name


async def logged(agent: AgentProcess, text: str, times: int = 1) -> bool:
    return agent.log_text().count(text) >= times
