"""Quality results as they were written, without the library that made them."""

import json
from pathlib import Path
from typing import Any

from components.base.errors import PipelineError


def read(folder: Path) -> dict[str, Any]:
    """A result as written by `components.quality.gate.check`."""
    return json.loads((Path(folder) / "result.json").read_text("utf-8"))


def require(result: dict[str, Any], pages: str) -> None:
    """Raises PipelineError naming the failed error-level checks with examples, and where they can be read."""
    if not result["passed"]:
        lines = "\n".join(f"  - {f['check']} ({f['unexpected']} in {f['column']}): {'; '.join(f['examples'])}\n"
                          f"    mend: {f['mend']}" for f in result["errors"])
        raise PipelineError(f"the quality gate on {result['suite']} failed:\n{lines}\n  all of it: {pages}")
