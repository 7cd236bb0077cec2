"""Flow: the main job, from images to a gated, promoted edge student; every stage a flow of its own."""

from dataclasses import asdict

from prefect import flow

from components.pipeline.plan import Plan
from components.pipeline.recording import settle
from flows.edge_export import export
from flows.evaluation import evaluate
from flows.ingestion import ingest
from flows.promotion import promote
from flows.rationale_generation import generate
from flows.server import wait_for_server
from flows.student_distillation import distil
from flows.teacher_alignment import align

STAGES = {"rationales": generate, "align": align, "distil": distil, "evaluate": evaluate, "export": export,
          "promote": promote}


@flow(name="foveate", persist_result=False)
def pipeline(plan: dict, run: str, until: str = "promote") -> dict[str, str]:
    """Runs the stages in order up to `until`; returns {output: folder} of all that was made or was there already."""
    wait_for_server()
    made = ingest(plan, run)
    plan = asdict(settle(Plan(**plan), made))
    for name, stage in STAGES.items():
        if until == "ingest":
            break
        wait_for_server()
        made |= stage(plan, run, made)
        if name == until:
            break
    return made
