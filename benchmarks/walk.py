"""Re-makes docs/operations.md: the commands of keeping a model fresh, run for real, small, with what they said.

    python -m benchmarks.walk [--out docs/operations.md] [--home FOLDER]

A local stack is started, four folders of drawn scenes are ingested (one that makes the first champion, one that beats
it although the stack is ended amid its training, one that is faulty, one whose labels are wrong), a champion is rolled
back, and the stack ended. Takes some ten minutes on two idle cores.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from components.base.artifacts import write_bytes, write_json
from components.base.home import home
from components.datasets import draw
from components.datasets.scenes.spec import DrawSpec
from components.pipeline import growth, retraining
from flows import deployments, stack
from flows.status import status

ROOT = Path(__file__).parents[1]
ENDS = ("promoted", "rejected", "failed")
SMALL = ["align.steps=40", "align.composites=1", "distil.epochs=3", "evaluate.bootstrap=200", "bars.harmonic=0.0",
         "bars.rare_margin=0.3", "bars.unseen_margin=0.1", "bars.latency_ms=2000"]
PATIENCE = 3600  # seconds that a retraining may take


class Walk:
    """Runs commands as a person would, and writes down both sides."""

    def __init__(self, folder: Path, home: Path):
        self.folder, self.lines, self.at = folder, [], 0
        self.record = home / "walk.json"
        self.done = json.loads(self.record.read_text("utf-8")) if self.record.exists() else []
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT"))}
        self.environment |= {"FOVEATE_HOME": str(home), "PYTHONPATH": str(ROOT)}
        os.environ["FOVEATE_HOME"] = str(home)

    def says(self, text: str) -> None:
        self.lines += ["", text, ""]

    def runs(self, *arguments: str, code: int = 0) -> None:
        """A command with its output, or what it said before; raises where it does not end with the expected code."""
        if self.known(arguments):
            self.lines += self.done[self.at - 1]["lines"]
            return
        done = subprocess.run([sys.executable, "-c", "from flows.cli import main; main()", *arguments],
                              env=self.environment, cwd=self.folder, capture_output=True, text=True)
        said = (done.stdout + done.stderr).rstrip()
        shown = " ".join(f"'{a}'" if " " in a else a for a in arguments)
        print(f"$ foveate {shown}\n{said}", flush=True)
        if done.returncode != code:
            raise SystemExit(f"expected exit code {code}, got {done.returncode}")
        lines = ["```console", f"$ foveate {shown}", *plain(said, self.folder, home()).splitlines(), "```"]
        self.lines += lines
        self.keep(arguments, lines)

    def waits(self, name: str, outcome: str) -> None:
        """Until the retraining of the newest version, which an event started, has ended as expected."""
        if self.known(("wait",)):
            return
        version = growth.newest(name).version
        done = until(lambda: [a for a in retraining.attempts(name) if a.version == version and a.outcome in ENDS])[0]
        print(f"-> {done}", flush=True)
        if done.outcome != outcome:
            raise SystemExit(f"expected '{outcome}', got '{done.outcome}': {done.text}")
        until(lambda: not any(r["state"] == "Running" for r in status()["runs"]))  # it has yet to tell Prefect
        self.keep(("wait",), [])

    def waits_for_training(self, name: str) -> None:
        """Until the retraining of the newest version trains its student."""
        if self.known(("train",)):
            return
        version = growth.newest(name).version
        until(lambda: [a for a in retraining.attempts(name) if a.version == version])
        until(lambda: list((home() / "store").glob("student-*/*.part/progress.jsonl")))
        self.keep(("train",), [])

    def known(self, step: tuple[str, ...]) -> bool:
        """Whether an earlier call with the same home got past this step. The stack is then as it was left there."""
        self.at += 1
        if self.at > len(self.done):
            return False
        assert self.done[self.at - 1]["step"] == list(step), "another walk was begun here: give a new --home"
        if self.at == len(self.done) and self.went_up() and not stack.is_up():
            subprocess.run([sys.executable, "-c", "from flows.cli import main; main()", "up", "--deployments",
                            "small.yaml"], env=self.environment, cwd=self.folder, check=True)
        return True

    def went_up(self) -> bool:
        """Whether the last word on the stack was `up`."""
        said = [d["step"][0] for d in self.done if d["step"][0] in ("up", "down") and d["step"] != ["up"]]
        return said[-1:] == ["up"]

    def keep(self, step: tuple[str, ...], lines: list[str]) -> None:
        self.done.append({"step": step, "lines": lines})
        write_json(self.record, self.done)


def until(true: Callable[[], Any]) -> Any:
    """What `true()` gives as soon as it is something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE} s in vain")
        time.sleep(1)
    return found


def plain(said: str, folder: Path, kept: Path) -> str:
    """Output without what is of this machine and this hour: places, ports and times."""
    said = said.replace(str(kept), ".foveate").replace(f"{folder}/", "").replace(str(folder), ".")
    said = said.replace(f"{ROOT}/", "")
    said = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", said)
    said = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00|Z)?", "TIME", said)
    said = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", f"{'TIME':16}", said)
    return "\n".join(line.rstrip() for line in said.splitlines())


def small_deployments(file: Path) -> None:
    """prefect.yaml with a small and hasty retraining, and without schedules."""
    declared = yaml.safe_load(deployments.FILE.read_text())
    for one in declared["deployments"]:
        one.pop("schedules", None)
        if one["name"] == "retraining":
            one["parameters"] |= {"fast": True, "settings": SMALL, "quiet_seconds": 2, "cooldown_seconds": 0}
    file.write_text(yaml.safe_dump(declared, sort_keys=False))


def folders(at: Path) -> None:
    """The four folders: few scenes, those and many more, a broken one, and one with every label wrong."""
    draw.draw_folder(at / "few", DrawSpec(0, 210, 1, 4, 4, 12))
    draw.draw_folder(at / "many", DrawSpec(0, 1200, 1, 4, 4, 12))
    draw.draw_folder(at / "wrong", DrawSpec(2, 600, 1, 1, 1, 1))
    entries = json.loads((at / "wrong" / "annotations.json").read_text())
    space = json.loads((at / "wrong" / "space.json").read_text())
    (at / "broken" / "images").mkdir(parents=True)
    for number, name in enumerate(sorted(entries)[:12]):
        content = (at / "wrong" / "images" / name).read_bytes()
        (at / "broken" / "images" / name).write_bytes(content[:500] if number == 5 else content)
    verbs = sorted({e["verb"] for e in entries.values()})
    for entry in entries.values():
        entry["verb"] = verbs[verbs.index(entry["verb"]) - 1]
        roles = space["verbs"][entry["verb"]]["order"]
        entry |= {"bb": {r: [-1] * 4 for r in roles}, "frames": [dict.fromkeys(roles, "")] * 3}
    (at / "wrong" / "annotations.json").write_text(json.dumps(entries))


def walk(one: Walk) -> None:
    """The steps, each with what it shows."""
    one.lines = ["# Operations"]
    one.says("A walk through the life of a model, recorded by `python -m benchmarks.walk`: real commands and what they "
             "said, on small folders of drawn scenes, with short training (so the scores are no evidence of anything). "
             "`small.yaml` is `prefect.yaml` with small settings. How it works is told in [fresh.md](fresh.md).")
    one.lines += ["## The stack"]
    one.says("One command starts Prefect, MLflow and a worker on loopback, detached, and registers every deployment.")
    one.runs("up", "--deployments", "small.yaml")
    one.says("A second stack on the same state folder is refused.")
    one.runs("up", code=2)
    one.lines += ["", "## New data, first champion"]
    one.says("An ingestion begins the dataset. Its test split is frozen from here on. The event starts the retraining.")
    one.runs("data", "ingest", "few", "--dataset", "scenes", "--dev", "1", "--test", "4")
    one.waits("scenes", "promoted")
    one.runs("status")
    one.lines += ["", "## More data, a better student"]
    one.says("What is known already falls away. The challenger is judged on the same test images as the champion. Here "
             "the stack is ended while a student trains; begun again, it goes on from what was finished.")
    one.runs("data", "ingest", "many", "--dataset", "scenes")
    one.waits_for_training("scenes")
    one.runs("down")
    one.runs("up", "--deployments", "small.yaml")
    one.waits("scenes", "promoted")
    one.runs("status")
    one.says("The same folder again is nothing new.")
    one.runs("data", "ingest", "many", "--dataset", "scenes")
    one.lines += ["", "## Bad data"]
    one.says("A truncated file: the folder is refused whole, nothing changes, nothing is retrained.")
    one.runs("data", "ingest", "broken", "--dataset", "scenes", code=2)
    one.lines += ["", "## A challenger that loses"]
    one.says("Each image has the name of another verb: well-formed, so ingestion lets it in. The gate does not.")
    one.runs("data", "ingest", "wrong", "--dataset", "scenes")
    one.waits("scenes", "rejected")
    one.runs("status")
    one.lines += ["", "## The way back"]
    one.says("One command gives the alias back to the champion before, and records why.")
    one.runs("models", "list")
    one.runs("models", "rollback", "--reason", "a customer reports worse boxes")
    one.runs("models", "list")
    one.lines += ["", "## The end"]
    one.runs("down")


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reading.add_argument("--out", type=Path, default=ROOT / "docs" / "operations.md")
    reading.add_argument("--home", type=Path, help="keep the state here, and go on where a former call was stopped")
    options = reading.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folders(folder)
        small_deployments(folder / "small.yaml")
        one = Walk(folder, (options.home or folder / ".foveate").absolute())
        try:
            walk(one)
        finally:
            stack.down()
        write_bytes(options.out.absolute(), ("\n".join(one.lines).strip() + "\n").encode())


if __name__ == "__main__":
    main()
