"""Runs a quality suite on its tables, and stops the pipeline where an error-level check fails.

The checks run in Great Expectations, in memory; `out` receives `result.json` and `data_docs/index.html`, pages that
need no network to be read.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.data_context import EphemeralDataContext

from components.base.artifacts import write_json
from components.base.errors import PipelineError
from components.base.text import clean
from components.quality.suites import Check, suite

EXAMPLES = 5
_BRACKETS = str.maketrans("<>", "‹›")


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that failed: in which `column` of which table, how many rows (`unexpected`), some of them by sample."""

    check: str
    column: str
    unexpected: int
    examples: tuple[str, ...]
    mend: str

    def __str__(self) -> str:
        rows = f" ({self.unexpected} in {self.column})" if self.unexpected else f" ({self.column})"
        return f"{self.check}{rows}: {'; '.join(self.examples)}\n    mend: {self.mend}"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a suite found. `statistics` {"<table>.rows" or "<table>.<check>": rows, or rows that fail it}."""

    suite: str
    passed: bool
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    statistics: dict[str, int]


def check(name: str, tables: Mapping[str, pd.DataFrame], out: Path | None = None) -> GateResult:
    """Runs the suite "dataset", "rationales" or "predictions" on the tables made for it by `frames`.

    Warnings do not make it fail. With `out`, the result and the data docs are written there, replacing former ones.
    Raises UserError for an unknown suite.
    """
    checks = suite(name)
    context = _context()
    found: list[tuple[Check, Finding | None]] = []
    statistics: dict[str, int] = {}
    for table, expected in checks.items():
        statistics[f"{table}.rows"] = len(tables[table])
        results = _run(context, f"{name}_{table}", expected, tables[table].map(_plain))
        misshapen = not results[0].success
        for one, result in zip(expected, results, strict=True):
            if misshapen and result is not results[0]:
                continue  # a missing column makes every other check of its table fail: one finding says it
            finding = None if result.success else _finding(one, result, table)
            statistics[f"{table}.{one.name}"] = int(result.result.get("unexpected_count", 0))
            found.append((one, finding))
    errors, warnings = (tuple(f for one, f in found if f and one.severity == level) for level in ("error", "warning"))
    outcome = GateResult(name, not errors, errors, warnings, statistics)
    if out is not None:
        _write(context, outcome, out)
    return outcome


def require(result: GateResult) -> None:
    """Raises PipelineError naming the failed error-level checks with examples; returns where there is none."""
    if not result.passed:
        lines = "\n".join(f"  - {finding}" for finding in result.errors)
        raise PipelineError(f"quality gate '{result.suite}' failed {len(result.errors)} check(s):\n{lines}")


def _context() -> EphemeralDataContext:
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    for site in context.get_site_names():
        context.delete_data_docs_site(site)
    return context


def _run(context: EphemeralDataContext, name: str, checks: list[Check], table: pd.DataFrame) -> list[Any]:
    """One validation result per check, in the order of the checks."""
    # Rows are pointed at by their sample, and by their role where there is one.
    index = [c for c in ("sample", "verb", "kind", "role", "rank") if c in table.columns]
    batch = (context.data_sources.add_pandas(name).add_dataframe_asset(name)
             .add_batch_definition_whole_dataframe(name))
    expectations = context.suites.add(gx.ExpectationSuite(name, expectations=[c.expectation for c in checks]))
    validation = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=expectations))
    checkpoint = context.checkpoints.add(gx.Checkpoint(
        name=name, validation_definitions=[validation],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": index}))
    (outcome,) = checkpoint.run(batch_parameters={"dataframe": table}).run_results.values()
    by_check = {r.expectation_config.meta["check"]: r for r in outcome.results}
    return [by_check[c.name] for c in checks]


def _finding(one: Check, result: Any, table: str) -> Finding:
    values = result.result
    arguments = one.expectation.configuration.kwargs
    column = arguments.get("column") or ", ".join(arguments[c] for c in ("column_A", "column_B") if c in arguments)
    if "unexpected_index_list" in values:
        examples = [_example(row) for row in values["unexpected_index_list"][:EXAMPLES]]
    elif "details" in values:
        wrong = values["details"].get("mismatched", {})
        examples = [f"{kind} column '{c}'" for kind in ("missing", "unexpected") for c in wrong.get(kind, ())]
    elif "observed_value" in values:
        examples = [f"observed {values['observed_value']}"]
    else:
        examples = [str(e.get("exception_message")) for e in result.exception_info.values() if isinstance(e, dict)]
    return Finding(one.name, f"{table}.{column}" if column else table, int(values.get("unexpected_count", 0)),
                   tuple(examples), one.mend)


def _example(row: Mapping[str, Any]) -> str:
    """A row in words: the sample first, then what is known of it."""
    name = row.get("sample")
    rest = {k: v for k, v in row.items() if k != "sample" and v != ""}
    return " ".join([name if isinstance(name, str) else "(unnamed)", *(f"{k}={_short(v)}" for k, v in rest.items())])


def _plain(value: Any) -> Any:
    """A cell whose text cannot be markup: Great Expectations writes what it found into its pages as it is."""
    return clean(value).translate(_BRACKETS) if isinstance(value, str) else value


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _write(context: EphemeralDataContext, result: GateResult, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".docs-") as folder:
        context.add_data_docs_site("quality", {
            "class_name": "SiteBuilder", "show_how_to_buttons": False,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder}})
        context.build_data_docs(["quality"])
        docs = Path(folder)
        style = _STYLE + (docs / "static/styles/data_docs_default_styles.css").read_text()
        shutil.rmtree(docs / "static")
        for page in docs.rglob("*.html"):
            page.write_text(_alone(page.read_text(encoding="utf-8"), style), encoding="utf-8")
        shutil.rmtree(out / "data_docs", ignore_errors=True)
        shutil.copytree(docs, out / "data_docs")
    write_json(out / "result.json", asdict(result))


# Great Expectations' pages take their styles, fonts and scripts from half a dozen hosts. An artifact must be readable
# where there is no network, and must call nobody: those are removed and this takes their place.
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; color: #222 }
table { border-collapse: collapse; margin: .5em 0 }
td, th { border: 1px solid #ddd; padding: .3em .6em; text-align: left }
ul { padding-left: 1.2em } .hide-succeeded-validation-target-child { display: block }
i.text-success::before { content: "passed"; color: #1a7f37 } i.text-danger::before { content: "FAILED"; color: #b3261e }
i.text-warning::before { content: "warning"; color: #9a6700 }
"""
_REMOTE = re.compile(r'<script\b[^>]*>.*?</script>|<link\b[^>]*>|<img\b[^>]*>', re.DOTALL | re.IGNORECASE)


_POLICY = ('<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'; '
           'img-src data:">')


def _alone(page: str, style: str) -> str:
    page = _REMOTE.sub("", page).replace("</head>", f"<style>{style}</style></head>", 1)
    return re.sub(r"<head[^>]*>", lambda head: head[0] + _POLICY, page, count=1)  # what is left runs and calls nothing
